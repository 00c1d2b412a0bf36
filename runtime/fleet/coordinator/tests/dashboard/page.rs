//! The page in a browser, with 200 devices.

use crate::browser::Browser;
use crate::fake;
use serde_json::Value;
use sprig_coordinator::Standing;
use sprig_coordinator::dashboard::{Dashboard, Listen, Token};
use std::time::{Duration, Instant};

const ROWS: &str = "document.querySelectorAll('#devices tr.device').length";

fn open(width: u32, dark: bool) -> (Dashboard, Browser) {
    let listen = Listen { pace: Duration::from_millis(20), ..Listen::at("127.0.0.1:0") };
    let dashboard = Dashboard::start(&listen).unwrap();
    dashboard.show(fake::fleet(200, 87));
    let mut browser = Browser::start();
    browser.open(&format!("http://{}/", dashboard.address()), width, 900, dark);
    browser.wait(ROWS, 200);
    (dashboard, browser)
}

fn text(browser: &mut Browser, selector: &str) -> String {
    let text = browser.value(&format!("document.querySelector({selector:?}).innerText"));
    text.as_str().unwrap_or_default().replace('\n', " ")
}

#[test]
fn the_fleet_is_shown_and_a_click_opens_a_devices_memory() {
    let (_dashboard, mut browser) = open(1200, false);
    assert_eq!(text(&mut browser, "h1"), "kitchen");
    assert_eq!(text(&mut browser, "#state"), "collecting");
    assert!(text(&mut browser, "#waiting").contains("6 of 10 updates"));
    let tiles = text(&mut browser, "#tiles");
    for expected in ["of 200", "87", "of 120", "27.8 % before", "61.0 MiB"] {
        assert!(tiles.contains(expected), "{tiles} has no {expected}");
    }
    assert_eq!(browser.value("document.querySelectorAll('#charts path[d^=M]').length"), 10);
    browser.screenshot("1200", 1500);

    browser.click("tr[data-id=device-006] td:nth-child(5)");
    browser.wait("document.querySelectorAll('tr.detail .regions tbody tr').length", 10);
    let fleet = fake::fleet(200, 87);
    let weights = &fleet.devices[5].regions[0];
    let mib = |n: u64| format!("{:.1} MiB", n as f64 / f64::from(1 << 20));
    let expected = format!("mapped weights {} {}", mib(weights.planned), mib(weights.measured.unwrap()));
    let shown = text(&mut browser, "tr.detail .regions tbody tr");
    assert_eq!(shown.split_whitespace().collect::<Vec<_>>().join(" "), expected);
    assert_eq!(browser.value("document.querySelector('tr.detail').previousSibling.dataset.id"), "device-006");
    let facts = text(&mut browser, "tr.detail dl");
    assert!(facts.contains("53.0 °C; nothing held it back"), "{facts}");
    browser.screenshot("1200-report", 1700);
    browser.click("tr[data-id=device-006] .who");
    browser.wait("document.querySelectorAll('tr.detail').length", 0);
    browser.click("tr[data-id=device-009] .who");
    browser.wait("document.querySelectorAll('tr.detail').length", 1);
    assert!(text(&mut browser, "tr.detail dl").contains("56.0 °C; held back: throttled"));
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn rows_are_patched_in_place_and_the_report_follows() {
    let (dashboard, mut browser) = open(1200, false);
    browser.click("tr[data-id=device-004] .who");
    browser.wait("document.querySelectorAll('tr.detail').length", 1);
    browser.value(
        "for (const r of document.querySelectorAll('tr.device')) r.mark = 1; window.changed = 0; \
         new MutationObserver(list => changed += list.length) \
           .observe(document.querySelector('#devices tbody'), { childList: true, subtree: true, characterData: true }); 0",
    );
    let mut fleet = fake::fleet(200, 87);
    fleet.devices[3].regions[0].measured = Some(3 << 30);
    fleet.devices[9].state = "paused".into();
    fleet.history.push(fake::round(87));
    fleet.round = 88;
    fleet.devices.remove(20);
    dashboard.show(fleet);
    browser.wait("document.querySelector('#rounds tbody td').innerText", "87");
    assert_eq!(browser.value("[...document.querySelectorAll('tr.device')].filter(r => r.mark).length"), 199);
    assert!(text(&mut browser, "tr.detail .regions tbody tr").contains("3.0 GiB"));
    assert_eq!(text(&mut browser, "tr[data-id=device-010] td:nth-child(2)"), "paused");
    // The state's cell, the row that left, and the report.
    let changed = browser.value("changed").as_u64().unwrap();
    assert!((1..=5).contains(&changed), "{changed} changes of the table");
    assert_eq!(browser.complaints, Vec::<String>::new());
}

/// Who was taken out and why, rounds that came to nothing or were taken back, and each chart's figures in words and as a table.
#[test]
fn what_went_wrong_is_told_and_charts_are_told_in_words() {
    let (dashboard, mut browser) = open(1200, false);
    let mut fleet = fake::fleet(200, 87);
    (fleet.epoch, fleet.devices_removed) = (3, 2);
    let failing = &mut fleet.devices[3];
    (failing.standing, failing.state, failing.failures) = (Standing::Failing, "quarantined".into(), 5);
    failing.last_refusal = Some("norm".into());
    fleet.devices[4].standing = Standing::Quarantined;
    fleet.history[86].state = "reverted".into();
    dashboard.show(fleet);
    browser.wait("document.querySelector('#rounds tbody tr').className", "reverted");
    assert!(text(&mut browser, "#footer").contains("epoch 3"));
    let tiles = text(&mut browser, "#tiles");
    for expected in ["2 quarantined, 2 removed", "1 abandoned, 1 taken back"] {
        assert!(tiles.contains(expected), "{tiles} has no {expected}");
    }
    browser.click("#chips button:nth-child(5)");
    browser.wait(ROWS, 2);
    browser.click("tr[data-id=device-004] .who");
    let facts = text(&mut browser, "tr.detail dl");
    for expected in ["failed in 5 rounds in a row, last refusal: norm", "3 selected, 0 missed, 0 late"] {
        assert!(facts.contains(expected), "{facts} has no {expected}");
    }
    browser.click("tr[data-id=device-005] .who");
    assert!(text(&mut browser, "tr.detail dl").contains("taken out by an operator"));

    let svg = "document.querySelector('#charts .chart:nth-child(2) svg')";
    assert_eq!(browser.value(&format!("{svg}.getAttribute('role')")), "img");
    let told = browser
        .value(&format!("document.getElementById({svg}.getAttribute('aria-describedby')).textContent"));
    let told = told.as_str().unwrap();
    let percent = |round: u32| format!("{:.1} %", 100.0 * fake::round(round).accuracy.unwrap());
    for expected in [format!("{} in round 9", percent(9)), format!("{} in round 79", percent(79))] {
        assert!(told.contains(&expected), "{told} has no {expected}");
    }
    assert_eq!(browser.value("document.querySelectorAll('#charts table').length"), 0);
    browser.click("#charts .chart:nth-child(2) summary");
    browser.wait("document.querySelectorAll('#charts .chart:nth-child(2) tbody tr').length", 8);
    assert!(text(&mut browser, "#charts .chart:nth-child(2) tbody tr").contains(&percent(79)));
    assert_eq!(browser.complaints, Vec::<String>::new());
}

/// A browser is asked for the token, and sees the fleet once it has brought it.
#[test]
fn a_browser_logs_in() {
    let token = "0123456789abcdef";
    let listen = Listen { token: Token::of(token), ..Listen::at("127.0.0.1:0") };
    let dashboard = Dashboard::start(&listen).unwrap();
    dashboard.show(fake::fleet(3, 1));
    let mut browser = Browser::start();
    browser.open(&format!("http://{}/", dashboard.address()), 800, 600, false);
    browser.wait("document.querySelectorAll('#token').length", 1);
    browser.click("#token");
    browser.type_text(token);
    browser.click("button");
    browser.wait(ROWS, 3);
    browser.wait("document.querySelector('#link').innerText", "live");
}

#[test]
fn devices_are_filtered_and_sorted() {
    let (_dashboard, mut browser) = open(1200, false);
    let fleet = fake::fleet(200, 87);
    browser.click("#filter");
    browser.type_text("orin");
    browser.wait(ROWS, 40);
    browser.type_text(" nothing");
    browser.wait(ROWS, 0);
    assert_eq!(text(&mut browser, "#no-devices"), "No device matches.");
    browser.value(
        "const f = document.querySelector('#filter'); f.value = ''; f.dispatchEvent(new Event('input')); 0",
    );
    browser.wait(ROWS, 200);

    let refused = fleet.devices.iter().filter(|d| d.refused > 0).count();
    browser.click("#chips button:nth-child(4)");
    browser.wait(ROWS, refused as u64);
    browser.click("#chips button:nth-child(1)");
    browser.wait(ROWS, 200);

    let fastest = fleet.devices.iter().max_by(|a, b| a.rate.total_cmp(&b.rate)).unwrap();
    browser.click("#devices th:nth-child(4) button");
    browser.wait("document.querySelector('#devices tbody tr').dataset.id", fastest.id.as_str());
    assert_eq!(browser.value("document.querySelector('#devices th:nth-child(4)').ariaSort"), "descending");
    let slowest = fleet.devices.iter().min_by(|a, b| a.rate.total_cmp(&b.rate)).unwrap();
    browser.click("#devices th:nth-child(4) button");
    browser.wait("document.querySelector('#devices tbody tr').dataset.id", slowest.id.as_str());
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn a_phone_scrolls_only_down() {
    let (_dashboard, mut browser) = open(400, true);
    browser.screenshot("400-dark", 2400);
    assert_eq!(browser.value("document.documentElement.scrollWidth"), 400);
    browser.click("tr[data-id=device-001] .who");
    browser.wait("document.querySelectorAll('tr.detail .regions tbody tr').length", 10);
    assert_eq!(browser.value("document.documentElement.scrollWidth"), 400);
    let inside = "[...document.querySelectorAll('section .wide')].every(w => w.scrollWidth <= w.clientWidth)";
    assert_eq!(browser.value(inside), true, "a table is wider than the phone");
    browser.value("document.querySelector('tr[data-id=device-001]').scrollIntoView(); 0");
    let top = browser.value("scrollY").as_f64().unwrap_or_default();
    browser.screenshot("400-dark-report", top as u32 + 1200);
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn what_devices_say_stays_text_and_scripts_stay_out() {
    let (dashboard, mut browser) = open(1200, false);
    let mut fleet = fake::fleet(2, 1);
    let hostile = "<img src=x onerror=\"window.taken=1\">";
    fleet.devices[0].board = hostile.into();
    fleet.devices[0].last_refusal = Some(hostile.into());
    fleet.devices[0].refused = 1;
    fleet.waiting_for = hostile.into();
    dashboard.show(fleet);
    browser.wait(ROWS, 2);
    browser.click("tr[data-id=device-001] .who");
    assert_eq!(text(&mut browser, "#waiting"), hostile);
    assert_eq!(text(&mut browser, "tr[data-id=device-001] small"), hostile);
    assert!(text(&mut browser, "tr.detail dl").contains(hostile));
    assert_eq!(browser.complaints, Vec::<String>::new());

    // Were something to get in after all, the policy stops it.
    browser.value(
        "const s = document.createElement('script'); s.textContent = 'window.taken = 1'; document.body.append(s); \
         const i = document.createElement('img'); i.src = '/api/view'; document.body.append(i); 0",
    );
    assert_eq!(browser.value("window.taken ?? null"), Value::Null);
    // Both violations are told, if not at once.
    let end = Instant::now() + Duration::from_secs(20);
    while browser.complaints.len() < 2 {
        assert!(Instant::now() < end, "{:?}", browser.complaints);
        browser.value("0");
    }
}

#[test]
fn the_page_finds_a_coordinator_that_comes_back() {
    let (dashboard, mut browser) = open(1200, false);
    let address = dashboard.address().to_string();
    drop(dashboard);
    browser.wait("document.querySelector('#link').className", "link lost");
    let back = Dashboard::start(&Listen::at(&address)).unwrap();
    back.show(fake::fleet(3, 1));
    browser.wait(ROWS, 3);
    browser.wait("document.querySelector('#link').innerText", "live");
}
