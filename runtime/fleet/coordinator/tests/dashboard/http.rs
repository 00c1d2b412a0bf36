//! What any client sees, and what a bad one costs.

use crate::fake;
use sprig_coordinator::FleetView;
use sprig_coordinator::dashboard::{Dashboard, DashboardError, Listen, Token};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const TOKEN: &str = "0123456789abcdef";

fn listen() -> Listen {
    Listen { pace: Duration::from_millis(10), ..Listen::at("127.0.0.1:0") }
}

/// Sends a request; gives the head of the answer and what follows, still open.
pub fn ask(address: SocketAddr, request: &str) -> (String, BufReader<TcpStream>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "closed after {head:?}");
    }
    (head.to_ascii_lowercase(), reader)
}

fn get(address: SocketAddr, path: &str) -> (String, String) {
    let (head, mut rest) =
        ask(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
    let mut body = String::new();
    rest.read_to_string(&mut body).unwrap();
    (head, body)
}

pub fn stream(address: SocketAddr) -> BufReader<TcpStream> {
    ask(address, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").1
}

/// The next event: its kind and its data.
pub fn event(stream: &mut BufReader<TcpStream>) -> (String, FleetView, serde_json::Value) {
    let (mut kind, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream ended");
        if let Some(name) = line.strip_prefix("event: ") {
            kind = name.trim().to_owned();
        }
        if let Some(data) = line.strip_prefix("data: ") {
            return (kind, serde_json::from_str(data).unwrap(), serde_json::from_str(data).unwrap());
        }
    }
}

fn wait_until(what: &str, mut met: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !met() {
        assert!(Instant::now() < end, "waited 20 s for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_page_is_whole_and_lets_nothing_else_in() {
    let dashboard = Dashboard::start(&listen()).unwrap();
    let (head, body) = get(dashboard.address(), "/");
    assert!(head.starts_with("http/1.1 200 ok"), "{head}");
    for expected in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'; style-src 'sha256-",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
    ] {
        assert!(head.contains(expected), "{head} has no {expected}");
    }
    assert!(!head.contains("unsafe"), "{head}");
    // Nothing is fetched but the events; the only address is the name of the SVG namespace.
    let addresses: Vec<_> =
        body.match_indices("http").map(|(at, _)| &body[at..(at + 26).min(body.len())]).collect();
    assert_eq!(addresses, ["http://www.w3.org/2000/svg"]);
    assert_eq!(body.matches("<script").count(), 1);
    assert!(!body.contains(" style=") && !body.contains("innerHTML"));
}

#[test]
fn only_reading_is_offered() {
    let dashboard = Dashboard::start(&listen()).unwrap();
    for method in ["POST", "PUT", "DELETE"] {
        let (head, _) = ask(
            dashboard.address(),
            &format!("{method} /api/view HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"),
        );
        assert!(head.starts_with("http/1.1 405"), "{head}");
    }
    assert!(get(dashboard.address(), "/../Cargo.toml").0.starts_with("http/1.1 404"));
}

#[test]
fn a_script_reads_the_view() {
    let dashboard = Dashboard::start(&listen()).unwrap();
    assert!(get(dashboard.address(), "/api/view").0.starts_with("http/1.1 503"));
    let fleet = fake::fleet(3, 5);
    dashboard.show(fleet.clone());
    let (head, body) = get(dashboard.address(), "/api/view");
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!(serde_json::from_str::<FleetView>(&body).unwrap(), fleet);
}

#[test]
fn a_stream_tells_all_at_first_and_then_only_what_changed() {
    let dashboard = Dashboard::start(&listen()).unwrap();
    let mut fleet = fake::fleet(200, 5);
    dashboard.show(fleet.clone());
    let mut stream = stream(dashboard.address());
    let (kind, whole, _) = event(&mut stream);
    assert_eq!((kind.as_str(), &whole), ("view", &fleet));
    assert_eq!(dashboard.watchers(), 1);

    fleet.devices[7].refused = 9;
    fleet.devices.remove(3);
    fleet.history[2].accuracy = Some(0.5);
    fleet.history.push(fake::round(5));
    fleet.round = 6;
    dashboard.show(fleet.clone());
    let (kind, patch, json) = event(&mut stream);
    assert_eq!((kind.as_str(), patch.round), ("patch", 6));
    assert_eq!(patch.devices, [fleet.devices[6].clone()]);
    assert_eq!(patch.history, [fleet.history[2].clone(), fleet.history[5].clone()]);
    assert_eq!(json["gone"], serde_json::json!(["device-004"]));

    // Another run is another story.
    fleet.run = "00".repeat(16);
    dashboard.show(fleet.clone());
    let (kind, whole, _) = event(&mut stream);
    assert_eq!((kind.as_str(), &whole), ("view", &fleet));

    drop(stream);
    wait_until("the stream to be counted out", || {
        dashboard.show(fleet.clone());
        dashboard.watchers() == 0
    });
}

#[test]
fn other_host_names_are_refused_on_the_loopback() {
    let dashboard = Dashboard::start(&listen()).unwrap();
    let head =
        |host: &str| ask(dashboard.address(), &format!("GET /api/view HTTP/1.1\r\nHost: {host}\r\n\r\n")).0;
    for host in ["evil.example", "evil.example:8080", "localhost.evil.example", "192.168.1.7", ""] {
        assert!(head(host).starts_with("http/1.1 403"), "{host}");
    }
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080"] {
        assert!(head(host).starts_with("http/1.1 503"), "{host}");
    }
}

#[test]
fn other_machines_are_let_in_only_if_told() {
    let open = Listen { address: "0.0.0.0:0".into(), ..listen() };
    let error = Dashboard::start(&open).unwrap_err();
    assert!(matches!(error, DashboardError::BeyondLoopback { .. }), "{error}");
    let open = Listen { beyond_loopback: true, ..open };
    let error = Dashboard::start(&open).unwrap_err();
    assert!(matches!(error, DashboardError::NoToken { .. }), "{error}");
    for setting in ["dashboard_beyond_loopback", "dashboard_token_file"] {
        assert!(error.to_string().contains(setting), "{error}");
    }
    let open = Listen { token: Token::of(TOKEN), ..open };
    let told = Dashboard::start(&open).unwrap();
    let there = SocketAddr::from(([127, 0, 0, 1], told.address().port()));
    assert!(ask(there, "GET / HTTP/1.1\r\nHost: board.lan\r\n\r\n").0.starts_with("http/1.1 401"));
    let request = format!("GET / HTTP/1.1\r\nHost: board.lan\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    assert!(ask(there, &request).0.starts_with("http/1.1 200"));

    let taken = Listen { address: told.address().to_string(), ..open };
    let error = Dashboard::start(&taken).unwrap_err().to_string();
    assert!(error.starts_with("cannot serve the dashboard at 0.0.0.0:"), "{error}");
}

#[test]
fn clients_are_few_and_a_left_place_is_free_again() {
    let dashboard = Dashboard::start(&Listen { clients: 3, ..listen() }).unwrap();
    dashboard.show(fake::fleet(1, 1));
    let streams: Vec<_> = (0..3).map(|_| stream(dashboard.address())).collect();
    let mut fourth = TcpStream::connect(dashboard.address()).unwrap();
    fourth.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = fourth.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    // Closed or reset, and no byte of an answer.
    assert!(!matches!(fourth.read(&mut [0; 64]), Ok(1..)));
    drop(streams);
    wait_until("a place", || {
        let mut stream = TcpStream::connect(dashboard.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        matches!(stream.read(&mut [0; 64]), Ok(1..))
    });
}

#[test]
fn a_client_that_reads_nothing_or_asks_nothing_is_dropped() {
    let settings = Listen { stall: Duration::from_millis(300), ..listen() };
    let dashboard = Dashboard::start(&settings).unwrap();
    let mut fleet = fake::fleet(1000, 2000);
    dashboard.show(fleet.clone());
    let silent = TcpStream::connect(dashboard.address()).unwrap();
    let slow = stream(dashboard.address());
    let mut good = stream(dashboard.address());
    wait_until("two pages", || dashboard.watchers() == 2);
    // Some megabytes fill the buffers of a connection that is not read.
    let reader = std::thread::spawn(move || {
        let mut seen = 0;
        let mut line = String::new();
        while good.read_line(&mut line).unwrap_or(0) > 0 && !line.contains("the end") {
            seen += line.len();
            line.clear();
        }
        seen
    });
    wait_until("the slow page to be dropped", || {
        fleet.round += 1;
        fleet.devices.iter_mut().for_each(|device| device.accepted += 1);
        dashboard.show(fleet.clone());
        std::thread::sleep(Duration::from_millis(40));
        dashboard.watchers() == 1
    });
    fleet.waiting_for = "the end".into();
    dashboard.show(fleet);
    assert!(reader.join().unwrap() > 1 << 20);
    let mut silent = silent;
    silent.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert!(!matches!(silent.read(&mut [0; 1]), Ok(1..)), "a client that asks nothing was answered");
    drop(slow);
}

#[test]
fn a_healthy_page_outlasts_a_quiet_fleet() {
    let settings = Listen { stall: Duration::from_millis(200), ..listen() };
    let dashboard = Dashboard::start(&settings).unwrap();
    dashboard.show(fake::fleet(1, 1));
    let mut stream = stream(dashboard.address());
    event(&mut stream);
    let mut comments = 0;
    let mut line = String::new();
    while comments < 10 {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0, "dropped after {comments} comments");
        comments += usize::from(line.starts_with(':'));
    }
    assert_eq!(dashboard.watchers(), 1);
}

#[test]
fn dropping_it_ends_open_streams() {
    let dashboard = Dashboard::start(&listen()).unwrap();
    let address = dashboard.address();
    dashboard.show(fake::fleet(1, 1));
    let mut stream = stream(address);
    event(&mut stream);
    let start = Instant::now();
    drop(dashboard);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(TcpStream::connect(address).is_err());
}
