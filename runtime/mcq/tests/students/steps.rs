//! Steps of students: one side of an equation before and after, evaluated exactly.

/// A step that changed one side of an equation, which is numeric before and after.
pub(crate) struct Step {
    /// The side before.
    pub(crate) text: String,
    /// Its value.
    pub(crate) before: Exact,
    /// The value that the student wrote.
    pub(crate) after: Exact,
    /// Most places after a point that the student wrote.
    pub(crate) places: u32,
}

/// The steps of a label in the file's text.
pub(crate) fn steps(json: &str, label: &str) -> Vec<Step> {
    let rows: Vec<serde_json::Value> = serde_json::from_str(json).unwrap();
    let of_label = rows.iter().filter(|row| row["Label Name"] == label);
    of_label.filter_map(|row| Step::of(row["eq1"].as_str()?, row["eq2"].as_str()?)).collect()
}

impl Step {
    fn of(before: &str, after: &str) -> Option<Self> {
        let sides = |equation: &str| equation.split('=').map(str::to_owned).collect::<Vec<_>>();
        let (before, after) = (sides(before), sides(after));
        let changed: Vec<usize> = (0..2).filter(|side| before.get(*side) != after.get(*side)).collect();
        let (2, 2, [side]) = (before.len(), after.len(), &changed[..]) else { return None };
        let (text, written) = (&before[*side], &after[*side]);
        Some(Self {
            text: text.clone(),
            before: evaluate(text)?,
            after: evaluate(written)?,
            places: places(written),
        })
    }

    /// The value with the one plus or minus between two terms exchanged; `None` where there is not exactly one.
    pub(crate) fn swapped(&self) -> Option<Exact> {
        let bytes = self.text.as_bytes();
        let mut depth = 0;
        let mut found = Vec::new();
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'(' => depth += 1,
                b')' => depth -= 1,
                b'+' | b'-' if depth == 0 && at > 0 && !b"+-*/(".contains(&bytes[at - 1]) => found.push(at),
                _ => {}
            }
        }
        let [at] = found[..] else { return None };
        let other = if bytes[at] == b'+' { "-" } else { "+" };
        evaluate(&format!("{}{other}{}", &self.text[..at], &self.text[at + 1..]))
    }
}

/// An exact fraction in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exact(i128, i128);

impl Exact {
    /// `top / bottom`.
    pub(crate) fn new(top: i128, bottom: i128) -> Option<Self> {
        let (mut a, mut b) = (top.checked_abs()?, bottom.checked_abs()?);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        (bottom != 0).then(|| Self(top / a * bottom.signum(), bottom / a * bottom.signum()))
    }

    /// Minus the value.
    pub(crate) fn minus(self) -> Self {
        Self(-self.0, self.1)
    }

    /// Whether this, written with so many places, is `other` with the sign changed.
    pub(crate) fn is_minus(self, other: Self, places: u32) -> bool {
        self.is_near(other.minus(), places)
    }

    /// Whether the two differ by less than one in the last place written, or by at most a thousandth: students round.
    pub(crate) fn is_near(self, other: Self, places: u32) -> bool {
        let Some(Self(top, bottom)) = self.add(other.minus()) else { return false };
        let place = places > 0 && top.abs() * 10i128.pow(places) < bottom;
        place || top.abs() * 1000 * self.1 <= self.0.abs() * bottom
    }

    fn add(self, other: Self) -> Option<Self> {
        let top = self.0.checked_mul(other.1)?.checked_add(other.0.checked_mul(self.1)?)?;
        Self::new(top, self.1.checked_mul(other.1)?)
    }

    fn times(self, other: Self) -> Option<Self> {
        Self::new(self.0.checked_mul(other.0)?, self.1.checked_mul(other.1)?)
    }

    fn over(self, other: Self) -> Option<Self> {
        self.times(Self::new(other.1, other.0)?)
    }
}

/// The value of an expression of numbers; `None` for anything else.
pub(crate) fn evaluate(text: &str) -> Option<Exact> {
    let text: String = text.chars().filter(|c| *c != ' ').collect();
    let (value, rest) = sum(text.as_bytes())?;
    rest.is_empty().then_some(value)
}

type Read<'a> = Option<(Exact, &'a [u8])>;

fn sum(text: &[u8]) -> Read<'_> {
    let (mut value, mut rest) = product(text)?;
    while let [sign @ (b'+' | b'-'), after @ ..] = rest {
        let (term, after) = product(after)?;
        value = value.add(if *sign == b'+' { term } else { term.minus() })?;
        rest = after;
    }
    Some((value, rest))
}

fn product(text: &[u8]) -> Read<'_> {
    let (mut value, mut rest) = factor(text)?;
    while let [sign @ (b'*' | b'/'), after @ ..] = rest {
        let (next, after) = factor(after)?;
        value = if *sign == b'*' { value.times(next)? } else { value.over(next)? };
        rest = after;
    }
    Some((value, rest))
}

fn factor(text: &[u8]) -> Read<'_> {
    match text {
        [b'-', rest @ ..] => factor(rest).map(|(value, rest)| (value.minus(), rest)),
        [b'+', rest @ ..] => factor(rest),
        [b'(', rest @ ..] => match sum(rest)? {
            (value, [b')', rest @ ..]) => Some((value, rest)),
            _ => None,
        },
        _ => number(text),
    }
}

fn number(text: &[u8]) -> Read<'_> {
    let end = text.iter().position(|b| !b.is_ascii_digit() && *b != b'.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let number = std::str::from_utf8(number).ok()?;
    let (whole, places) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{places}").parse().ok()?;
    let scale = 10i128.checked_pow(places.len().try_into().ok()?)?;
    Some((Exact::new(digits, scale)?, rest))
}

fn places(text: &str) -> u32 {
    let after = |part: &str| part.bytes().take_while(u8::is_ascii_digit).count() as u32;
    text.split('.').skip(1).map(after).max().unwrap_or(0)
}

#[test]
fn expressions_are_evaluated_exactly() {
    for (text, top, bottom) in [
        ("-6/-9", 2, 3),
        ("-1968+26", -1942, 1),
        ("-18.8-(-41.3)", 45, 2),
        ("7/(-1/8)", -56, 1),
        (".25*4", 1, 1),
    ] {
        assert_eq!(evaluate(text), Exact::new(top, bottom), "{text}");
    }
    for text in ["", "x", "1/0", "2+", "(1", "1.2.3"] {
        assert_eq!(evaluate(text), None, "{text}");
    }
}
