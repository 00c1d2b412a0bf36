//! A dashboard that asks for its token.

use crate::fake;
use crate::http::ask;
use sprig_coordinator::dashboard::{Dashboard, Listen, Token};
use std::io::Read;

const TOKEN: &str = "0123456789abcdef-_xyz";

fn start() -> Dashboard {
    let dashboard =
        Dashboard::start(&Listen { token: Token::of(TOKEN), ..Listen::at("127.0.0.1:0") }).unwrap();
    dashboard.show(fake::fleet(2, 2));
    dashboard
}

/// The answer to a request with these lines in its head: head (small letters) and body.
fn answer(dashboard: &Dashboard, line: &str, more: &str, body: &str) -> (String, String) {
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{more}\r\n{body}"
    );
    let (head, mut rest) = ask(dashboard.address(), &request);
    let mut body = String::new();
    rest.read_to_string(&mut body).unwrap();
    (head, body)
}

#[test]
fn a_script_brings_the_token_with_each_request() {
    let dashboard = start();
    for path in ["/api/view", "/events", "/none"] {
        let (head, body) = answer(&dashboard, &format!("GET {path}"), "", "");
        assert!(head.starts_with("http/1.1 401") && head.contains("www-authenticate: bearer"), "{head}");
        assert!(body.contains("Authorization: Bearer") && !body.contains("kitchen"), "{body}");
    }
    let (head, body) = answer(&dashboard, "GET /api/view", &format!("Authorization: Bearer {TOKEN}\r\n"), "");
    assert!(head.starts_with("http/1.1 200") && body.contains("kitchen"), "{head}");
    for wrong in [format!("Authorization: Bearer {TOKEN}x\r\n"), format!("Authorization: Basic {TOKEN}\r\n")]
    {
        assert!(answer(&dashboard, "GET /api/view", &wrong, "").0.starts_with("http/1.1 401"));
    }
}

#[test]
fn a_browser_gets_a_session_for_the_token() {
    let dashboard = start();
    let (head, page) = answer(&dashboard, "GET /", "", "");
    assert!(head.starts_with("http/1.1 401") && head.contains("form-action 'self'"), "{head}");
    assert!(head.contains("default-src 'none'") && !head.contains("script-src"), "{head}");
    assert!(page.contains("<form method=\"post\" action=\"login\">") && !page.contains("<script"), "{page}");
    let (head, page) = answer(&dashboard, "POST /login", "", "token=another");
    assert!(
        head.starts_with("http/1.1 401") && page.contains("another token") && !head.contains("set-cookie")
    );

    let (head, _) = answer(&dashboard, "POST /login", "", &format!("token={TOKEN}"));
    assert!(head.starts_with("http/1.1 303") && head.contains("location: /"), "{head}");
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    for kept in ["; httponly", "; samesite=strict", "; path=/"] {
        assert!(cookie.contains(kept), "{cookie}");
    }
    assert!(!cookie.contains(TOKEN) && !cookie.contains("secure"), "{cookie}");
    let session = cookie.split(';').next().unwrap();
    let (head, page) = answer(&dashboard, "GET /", &format!("Cookie: other=1; {session}\r\n"), "");
    assert!(head.starts_with("http/1.1 200") && page.contains("id=\"devices\""), "{head}");
    assert!(head.contains("script-src 'sha256-") && head.contains("form-action 'none'"), "{head}");
    // Of another start it is worth nothing.
    let other = start();
    let renamed =
        session.replace(&dashboard.address().port().to_string(), &other.address().port().to_string());
    assert!(answer(&other, "GET /", &format!("Cookie: {renamed}\r\n"), "").0.starts_with("http/1.1 401"));
}

#[test]
fn whoever_guesses_is_not_listened_to_for_a_while() {
    let dashboard = start();
    let guess = |token: &str| answer(&dashboard, "POST /login", "", &format!("token={token}")).0;
    let session = guess(TOKEN);
    let session = session.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    let session = session.split(';').next().unwrap().to_owned();
    for n in 0..10 {
        assert!(guess(&format!("guess-{n}")).starts_with("http/1.1 401"));
    }
    let head = guess(TOKEN);
    assert!(head.starts_with("http/1.1 429") && head.contains("retry-after: "), "{head}");
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    assert!(answer(&dashboard, "GET /api/view", &bearer, "").0.starts_with("http/1.1 429"));
    // Who is in stays in.
    assert!(answer(&dashboard, "GET /", &format!("Cookie: {session}\r\n"), "").0.starts_with("http/1.1 200"));
    // A form of any length costs a kilobyte.
    assert!(
        answer(&start(), "POST /login", "", &format!("token={}", "x".repeat(2000)))
            .0
            .starts_with("http/1.1 4")
    );
}
