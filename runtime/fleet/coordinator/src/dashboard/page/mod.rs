//! The page: its parts put together once, and the policy that lets nothing else in.

use crate::FleetView;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = concat!(
    include_str!("fleet.js"),
    include_str!("head.js"),
    include_str!("charts.js"),
    include_str!("devices.js"),
    include_str!("rounds.js"),
);

/// The document.
pub(super) static HTML: LazyLock<String> = LazyLock::new(|| {
    include_str!("index.html")
        .replace("<style></style>", &format!("<style>{STYLE}</style>"))
        .replace("<script></script>", &format!("<script>{SCRIPT}</script>"))
});

/// The document with `view` in it: shows that and asks nobody.
pub(super) fn still(view: &FleetView) -> String {
    // Plain numbers and texts always have a form in JSON; without `<` nothing in it ends the element.
    let json = serde_json::to_string(view).unwrap_or_default().replace('<', "\\u003c");
    let kept = format!("<script type=\"application/json\" id=\"kept\">{json}</script>\n<script>");
    HTML.replacen("<script>", &kept, 1)
}

/// The form that asks for the token, with what was wrong with the last one.
pub(super) fn login(problem: &str) -> String {
    let form = include_str!("login.html").replace("<style></style>", &format!("<style>{STYLE}</style>"));
    form.replace("class=\"bad\"></p>", &format!("class=\"bad\">{problem}</p>"))
}

/// The policy of that form: this style, and sending it back here.
pub(super) static LOGIN_POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        hash(STYLE)
    )
});

/// The content security policy: this style, this script, events of this server, and nothing else.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
});

fn hash(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text))
}
