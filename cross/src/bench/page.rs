//! `bench.html`: the rows as one self-contained page.

use super::Row;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:3rem auto;padding:0 1rem;\
color:#1c2430;background:#fff}table{border-collapse:collapse;width:100%}th,td{padding:.4rem .8rem;\
text-align:left;border-bottom:1px solid #d8dde4}td:nth-child(2),td:nth-child(3),th:nth-child(2),\
th:nth-child(3){text-align:right;font-variant-numeric:tabular-nums}.met{color:#146c2e}\
.missed{color:#b3261e;font-weight:600}p{color:#5a6472}\
@media(prefers-color-scheme:dark){body{color:#e3e7ec;background:#14181d}th,td{border-color:#343b44}\
.met{color:#6fcf8b}.missed{color:#ff8a80}p{color:#9aa5b1}}";

/// The page of `rows`.
pub fn page(rows: &[Row], machine: &str, threads: usize) -> String {
    let mut body = String::new();
    for row in rows {
        let [value, bar, met] = row.words().map(|words| escape(&words));
        let (class, name) = (met.to_lowercase(), escape(row.name));
        body += &format!(
            "<tr><td>{name}</td><td>{value}</td><td>{bar}</td><td class=\"{class}\">{met}</td></tr>\n"
        );
    }
    let machine = escape(machine);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Sprig benchmarks</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<style>{STYLE}</style></head><body>\n\
         <h1>Sprig benchmarks</h1>\n<p>{machine}, {threads} threads. SmolLM2-135M Q4_1, batch 8 of 64 tokens, \
         LoRA rank 8 on q and v, language-model loss. K is the number of tangents a pass.</p>\n\
         <table><thead><tr><th>benchmark</th><th>measured</th><th>bar</th><th></th></tr></thead>\n\
         <tbody>\n{body}</tbody></table>\n</body></html>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::Bar;
    use super::*;

    #[test]
    fn names_are_escaped_and_verdicts_marked() {
        let html = page(&[Row::held("a < b", 3.0, "", Bar::AtMost(2.0))], "x86", 2);
        assert!(html.contains("a &lt; b") && html.contains("class=\"missed\">MISSED"), "{html}");
    }
}
