//! Text in lines that a terminal of 80 columns shows whole.

/// Columns of the narrowest terminal that lines are written for.
pub const COLUMNS: usize = 80;

/// `text` in lines of at most [`COLUMNS`], broken between words; those after the first begin with so many spaces. A word that is
/// longer stays whole.
pub fn wrap(text: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut column = 0;
    // What a line begins with is part of its first word.
    let lead = text.len() - text.trim_start().len();
    let (lead, text) = text.split_at(lead);
    lines.push_str(lead);
    for word in text.split(' ') {
        let width = word.chars().count();
        match column {
            0 => column = lead.chars().count() + width,
            _ if column + 1 + width <= COLUMNS => {
                lines.push(' ');
                column += 1 + width;
            }
            _ => {
                lines.truncate(lines.trim_end().len());
                lines.push('\n');
                lines.extend(std::iter::repeat_n(' ', indent));
                column = indent + width;
            }
        }
        lines.push_str(word);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_keep_what_columns_align() {
        assert_eq!(wrap("> a   12.0 MiB  why", 4), "> a   12.0 MiB  why");
        let words = ["seven77"; 20].join(" ");
        let text = wrap(&format!("  {words}"), 4);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines.iter().all(|line| line.len() <= COLUMNS), "{text}");
        assert!(lines[..2].iter().all(|line| line.len() + 8 > COLUMNS), "{text}");
        assert!(lines[0].starts_with("  seven77") && lines[1].starts_with("    seven77"), "{text}");
        assert_eq!(text.split_whitespace().count(), 20);
        let long = "x".repeat(90);
        assert_eq!(wrap(&format!("a {long} b"), 2), format!("a\n  {long}\n  b"));
    }
}
