//! Methods of Python's strings that published chat templates call, which the template engine does not know.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

/// What `value.method(arguments)` gives, for strings; and `items` of maps.
pub(super) fn call(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let Some(text) = value.as_str() else {
        return match (value.kind(), method) {
            (ValueKind::Map, "items") => items(value),
            _ => Err(unknown(value, method)),
        };
    };
    let given: Vec<Option<&str>> = arguments.iter().map(Value::as_str).collect();
    let among = |set: Option<&str>| {
        let set = set.map(str::to_owned);
        move |c: char| set.as_ref().map_or(c.is_whitespace(), |set| set.contains(c))
    };
    let found = match (method, &given[..]) {
        ("strip", []) => text.trim().into(),
        ("strip", &[Some(set)]) => text.trim_matches(among(Some(set))).into(),
        ("lstrip", set @ ([] | [Some(_)])) => {
            text.trim_start_matches(among(set.first().copied().flatten())).into()
        }
        ("rstrip", set @ ([] | [Some(_)])) => {
            text.trim_end_matches(among(set.first().copied().flatten())).into()
        }
        ("startswith", &[Some(start)]) => text.starts_with(start).into(),
        ("endswith", &[Some(end)]) => text.ends_with(end).into(),
        ("upper", []) => text.to_uppercase().into(),
        ("lower", []) => text.to_lowercase().into(),
        // The filter is charged for what it makes before it makes it.
        ("replace", [Some(_), Some(_)]) => {
            let [from, to] = arguments else { return Err(unknown(value, method)) };
            state.apply_filter("replace", &[value.clone(), from.clone(), to.clone()])?
        }
        ("split", []) => text.split_whitespace().map(Value::from).collect(),
        ("split", &[Some(at)]) if !at.is_empty() => text.split(at).map(Value::from).collect(),
        _ => return Err(unknown(value, method)),
    };
    Ok(found)
}

/// Pairs of key and value.
fn items(map: &Value) -> Result<Value, Error> {
    let pair = |key: Value| Ok(Value::from(vec![key.clone(), map.get_item(&key)?]));
    map.try_iter()?.map(pair).collect::<Result<Vec<Value>, Error>>().map(Value::from)
}

fn unknown(value: &Value, method: &str) -> Error {
    let what = format!("a {} has no method {method} of these arguments", value.kind());
    Error::new(ErrorKind::UnknownMethod, what)
}
