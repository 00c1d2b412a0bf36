//! The fields of a record by their names, whether they were written as JSON or in the cells of a table.

use super::error::{Problem, short};
use super::rows::Row;
use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Names of the fields of any schema.
const NAMES: [&str; 16] = [
    "prompt",
    "completion",
    "text",
    "label",
    "question",
    "choices",
    "answer",
    "weight",
    "chosen",
    "rejected",
    "messages",
    "conversations",
    "instruction",
    "input",
    "output",
    "system",
];

/// Names of fields kept for a message.
const NAMES_SHOWN: usize = 8;

/// What data call the fields `text` and `label`, where that is something else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// The name of the field or column that is taken for `text`.
    pub text: Option<String>,
    /// The same for `label`.
    pub label: Option<String>,
}

impl Columns {
    /// The field that something of this name is taken for. A field that another name was given for is not taken by its own.
    fn field<'n>(&'n self, name: &'n str) -> &'n str {
        for (field, own) in [("text", &self.text), ("label", &self.label)] {
            match own {
                Some(own) if own == name => return field,
                Some(_) if field == name => return "",
                _ => {}
            }
        }
        name
    }
}

/// The value of a field.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Json(&'a RawValue),
    Cell(&'a str),
}

impl<'a> Value<'a> {
    /// As it was written: of JSON the value's text, which a number, an array or an object in a cell is too.
    pub(super) fn get(self) -> &'a str {
        match self {
            Self::Json(raw) => raw.get(),
            Self::Cell(text) => text,
        }
    }

    /// The text that it is, if it is one.
    pub(super) fn text(self) -> Option<String> {
        match self {
            Self::Json(raw) => serde_json::from_str(raw.get()).ok(),
            Self::Cell(text) => Some(text.to_owned()),
        }
    }

    /// The integer that it is; a cell is text.
    pub(super) fn integer(self) -> Option<i64> {
        serde_json::from_str(self.get()).ok()
    }

    /// Whether it is text by its nature.
    pub(super) fn is_cell(self) -> bool {
        matches!(self, Self::Cell(_))
    }

    /// What it is, for a message.
    pub(super) fn found(self) -> String {
        let raw = match self {
            Self::Cell(text) => return format!("found {}", short(text)),
            Self::Json(raw) => raw.get(),
        };
        let kind = match raw.as_bytes().first() {
            Some(b'"') => return format!("found {}", short(raw)),
            Some(b'[') => "an array",
            Some(b'{') => "an object",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => "a number",
        };
        format!("found {kind}")
    }
}

/// The values of the known fields, `null` counting as absent, and some names for the message that none fits.
#[derive(Default)]
pub(super) struct Fields<'a> {
    known: [Option<Value<'a>>; NAMES.len()],
    /// Which of them are there, whatever they hold.
    there: [bool; NAMES.len()],
    found: Vec<String>,
    /// Whether they are columns of a table.
    table: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn read(row: &Row<'a>, columns: &Columns) -> Result<Self, Problem> {
        match *row {
            Row::Object(text) => Self::parse(text, columns),
            Row::Cells(ref cells) => {
                let mut fields = Self { table: true, ..Self::default() };
                for (name, cell) in cells.iter() {
                    fields.name(name);
                    if let Some(i) = place(columns.field(name)) {
                        fields.known[i] = Some(Value::Cell(cell));
                        fields.there[i] = true;
                    }
                }
                Ok(fields)
            }
        }
    }

    /// The value of a field, by its name here.
    pub(super) fn get(&self, name: &str) -> Option<Value<'a>> {
        place(name).and_then(|i| self.known[i])
    }

    /// Whether there is a field of this name, be it `null`.
    pub(super) fn has(&self, name: &str) -> bool {
        place(name).is_some_and(|i| self.there[i])
    }

    /// The values of all of some fields.
    pub(super) fn all<const N: usize>(&self, names: [&str; N]) -> Option<[Value<'a>; N]> {
        let values = names.map(|name| self.get(name));
        values.iter().all(Option::is_some).then(|| values.map(|value| value.unwrap_or(Value::Cell(""))))
    }

    /// What there is, for a message.
    pub(super) fn listed(&self) -> String {
        match self.found.as_slice() {
            [] => "no fields".to_owned(),
            names => format!("the {} {}", if self.table { "columns" } else { "fields" }, names.join(", ")),
        }
    }

    /// Whether they are columns of a table.
    pub(super) fn are_columns(&self) -> bool {
        self.table
    }

    fn parse(text: &'a str, columns: &Columns) -> Result<Self, Problem> {
        let mut json = serde_json::Deserializer::from_str(text);
        let fields = json.deserialize_map(Collect { columns }).and_then(|fields| json.end().map(|()| fields));
        fields.map_err(|e| {
            // The position serde_json appends speaks of a file of its own; the column alone is ours, and the line within an
            // object that stands on several.
            let told = e.to_string();
            let what = told.rsplit_once(" at line ").map_or(told.as_str(), |(what, _)| what);
            let line = if e.line() > 1 { format!("line {} from there, ", e.line()) } else { String::new() };
            Problem::new(
                format!("not a JSON object: {what} ({line}column {})", e.column()),
                "write one JSON object a line; a table has a name that ends in .csv or .tsv",
            )
        })
    }

    fn name(&mut self, name: &str) -> bool {
        let shown = self.found.len() < NAMES_SHOWN;
        if shown {
            self.found.push(short(name));
        }
        shown
    }
}

fn place(name: &str) -> Option<usize> {
    NAMES.iter().position(|known| *known == name)
}

struct Collect<'c> {
    columns: &'c Columns,
}

impl<'de> Visitor<'de> for Collect<'_> {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        while let Some(name) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            let shown = fields.name(&name);
            let Some(i) = place(self.columns.field(&name)) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if std::mem::replace(&mut fields.there[i], true) {
                return Err(serde::de::Error::custom(format_args!("field \"{name}\" appears twice")));
            }
            fields.known[i] = map.next_value::<Option<&RawValue>>()?.map(Value::Json);
            if let Some(last) = fields.found.last_mut().filter(|_| shown && fields.known[i].is_none()) {
                last.push_str(" (null)");
            }
        }
        Ok(fields)
    }
}
