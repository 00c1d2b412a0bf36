//! Files of every form, whole and broken.

use super::super::input::MAX_LINE;
use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// Rows of a file called `name`, each as its line and the object that it is or would be.
fn read(name: &str, bytes: &[u8]) -> Result<Vec<(u64, String)>, String> {
    let mut rows = Rows::read(Path::new(name), bytes).map_err(|e| e.to_string())?;
    all(&mut rows, usize::MAX)
}

fn all(rows: &mut Rows<'_>, room: usize) -> Result<Vec<(u64, String)>, String> {
    let mut out = Vec::new();
    while let Some((line, row)) = rows.next(room).map_err(told)? {
        out.push((line, shown(&row)));
    }
    Ok(out)
}

fn shown(row: &Row<'_>) -> String {
    match row {
        Row::Object(text) => (*text).to_owned(),
        Row::Cells(cells) => {
            cells.iter().map(|(name, cell)| format!("{name}={cell}")).collect::<Vec<_>>().join("|")
        }
    }
}

fn told(error: RowError) -> String {
    match error {
        RowError::Data(error) => error.to_string(),
        RowError::Room { line } => format!("no room for line {line}"),
    }
}

fn rows(want: &[(u64, &str)]) -> Result<Vec<(u64, String)>, String> {
    Ok(want.iter().map(|&(line, text)| (line, text.to_owned())).collect())
}

fn fails(name: &str, bytes: &[u8], say: &str) {
    let message = read(name, bytes).unwrap_err();
    assert!(message.contains(say), "{message:?} should contain {say:?}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

#[test]
fn ends_blank_lines_and_a_byte_order_mark_are_handled() {
    let want = rows(&[(1, "a"), (4, "b c"), (5, "é")]);
    assert_eq!(read("d.jsonl", b"\xEF\xBB\xBFa\r\n\n \t\r\n b c \n\xC3\xA9"), want);
    for name in ["d.jsonl", "d.json", "d.csv", "d.tsv"] {
        assert_eq!(read(name, b""), rows(&[]), "{name}");
        assert_eq!(read(name, b"\n\r\n \n\n").map(|rows| rows.len()), Ok(0), "{name}");
    }
}

#[test]
fn broken_text_is_named_by_line_and_byte() {
    let message = read("d.jsonl", b"ok\nab\xFF").unwrap_err();
    assert!(message.starts_with("d.jsonl:2: byte 3 of the line is not UTF-8"), "{message}");
    fails("d.jsonl", b"\xFF\xFEa\0", "d.jsonl:1: the file is UTF-16, the low byte first; save it as UTF-8");
    fails("d.csv", b"\xFE\xFF\0a", "the high byte first");
    fails("d.csv", b"text,label\na,b\ncaf\xE9,b\n", "d.csv:3: byte 4 of column \"text\" is not UTF-8");
    fails("d.json", b"[{\"a\": 1},\n{\"b\": \"\xE9\"}]", "d.json:2: byte 8 of the record is not UTF-8");
}

#[test]
fn a_record_may_have_the_limit_and_no_byte_more() {
    for (name, before, after) in [("d.jsonl", "", "\n"), ("d.json", "[", "]"), ("d.csv", "x\n\"", "\"\n")] {
        let file = |n: usize| [before.as_bytes(), &vec![b'x'; n], after.as_bytes()].concat();
        assert_eq!(read(name, &file(MAX_LINE)).unwrap().len(), 1, "{name}");
        fails(name, &file(MAX_LINE + 1), "longer than 1048576 bytes");
    }
}

#[test]
fn no_more_is_held_than_there_is_room_for() {
    let text = ["x".repeat(100), "y".repeat(20_000), "z".repeat(50)].join("\n");
    for (name, text) in [
        ("d.jsonl", text.clone()),
        ("d.json", format!("[{}]", text.replace('\n', ",\n"))),
        ("d.csv", format!("x\n{text}")),
    ] {
        let mut rows = Rows::read(Path::new(name), text.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
        assert!(all(&mut rows, 10_000).unwrap_err().starts_with("no room for line "), "{name}");
        let mut rows = Rows::read(Path::new(name), text.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(all(&mut rows, 30_000).unwrap().len(), 3, "{name}");
    }
}

#[test]
fn an_array_is_read_element_by_element() {
    let text = "\u{FEFF} [\n {\"a\": \"]},\\\"{[\"},\n\n{\"b\": [1, {}]\n}, 3 ]\n";
    let want = rows(&[(2, "{\"a\": \"]},\\\"{[\"}"), (4, "{\"b\": [1, {}]\n}"), (5, "3 ")]);
    assert_eq!(read("any", text.as_bytes()), want);
    assert_eq!(read("d.json", b"[]"), rows(&[]));
    for (text, say) in [
        ("[", "d.json:1: the array has no end; close it with ]"),
        ("[{}", "the record that begins here has no end"),
        ("[{},", "the array has no end"),
        ("[\n{},\n]", "d.json:3: a comma without a record"),
        ("[,{}]", "a comma without a record"),
        ("[{}]\n{}", "d.json:2: text behind the end of the array"),
        ("[\"a", "the record that begins here has no end"),
    ] {
        fails("d.json", text.as_bytes(), say);
    }
    // Two objects without a comma are one text, which is none of JSON.
    assert_eq!(read("d.json", b"[{} {}]"), rows(&[(1, "{} {}")]));
}

#[test]
fn tables_have_a_header_and_quotes_and_semicolons() {
    let text = "\u{FEFF}label, text \r\n\"a \"\"b\"\"\",\"one,\ntwo\"\r\n\r\nx,\r\ny,z";
    let want = rows(&[(2, "label=a \"b\"|text=one,\ntwo"), (5, "label=x|text="), (6, "label=y|text=z")]);
    assert_eq!(read("d.CSV", text.as_bytes()), want);
    assert_eq!(read("d.csv", b"a;b\n1,5;\"x;y\"\n"), rows(&[(2, "a=1,5|b=x;y")]));
    assert_eq!(read("d.csv", b"a\tb\n1\t\"2\"\n"), rows(&[(2, "a=1|b=2")]));
    // Between tabs quotes are text, of which one may stand alone.
    assert_eq!(read("d.tsv", b"a\tb\n\"1\t2\"\n3\t4"), rows(&[(2, "a=\"1|b=2\""), (3, "a=3|b=4")]));
    assert_eq!(read("d.csv", b",,a\n0,1,2\n"), rows(&[(2, "=0|=1|a=2")]));
    for (name, text, say) in [
        ("d.csv", "a,b\n1,2\n3\n", "d.csv:3: found 1 columns, and the header has 2; `,` parts cells"),
        ("d.csv", "a,b\n1,2,3\n", "d.csv:2: found 3 columns, and the header has 2"),
        ("d.csv", "a,b\n1,2,3,4\n", "d.csv:2: found more than 2 columns"),
        ("d.csv", "a;b\n1;2;3\n", "`;` parts cells; put a text that has one into double quotes"),
        ("d.tsv", "a\tb\n1\t2\t3\n", "tabs part cells, no cell has one, and quotes mean nothing"),
        (
            "d.csv",
            "a,b\nx,\"open\ny,z\n",
            "d.csv:2: a double quote of the record that begins here has no second",
        ),
        ("d.csv", "a,b,a\n", "d.csv:1: two columns are called \"a\""),
    ] {
        fails(name, text.as_bytes(), say);
    }
    let wide = vec!["c"; 1025].join(",");
    fails("d.csv", wide.as_bytes(), "found more than 1024 columns");
}

#[test]
fn gzip_is_known_by_what_a_file_begins_with() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut rows = Rows::open(&path).map_err(|e| e.to_string())?;
        assert!(rows.held() > 64 << 10);
        all(&mut rows, usize::MAX)
    };
    let two = [gzip(b"{\"a\": 1}\n"), gzip(b"{\"b\": 2}\n")].concat();
    assert_eq!(open("d.jsonl.gz", &two), rows(&[(1, "{\"a\": 1}"), (2, "{\"b\": 2}")]));
    assert_eq!(open("d.csv.gz", &gzip(b"a,b\n1,2")), rows(&[(2, "a=1|b=2")]));
    assert_eq!(open("misnamed.csv", &gzip(b"a,b\n1,2")), rows(&[(2, "a=1|b=2")]));
    assert_eq!(open("d.json.gz", &gzip(b"[{}]")), rows(&[(1, "{}")]));
    let whole = gzip("{\"text\": \"some words\"}\n".repeat(5_000).as_bytes());
    for broken in [&whole[..whole.len() - 20], &whole[..30]] {
        let message = open("d.jsonl.gz", broken).unwrap_err();
        assert!(message.contains("cannot read") && message.contains("d.jsonl.gz"), "{message}");
    }
    // A thousand times as much as the file: one line of it is as much as is ever held.
    let bomb = gzip(&vec![b' '; 20 << 20]);
    let message = open("d.jsonl.gz", &bomb).unwrap_err();
    assert!(bomb.len() < 64 << 10 && message.contains("longer than 1048576 bytes"), "{message}");
}
