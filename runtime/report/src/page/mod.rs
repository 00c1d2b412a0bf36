//! Whole pages: nothing in them comes from outside, and they run no script.

mod frontier;
mod heat;
mod labels;
mod memory;
mod profile;
#[cfg(test)]
pub(crate) mod profiled;
#[cfg(test)]
pub(crate) mod sample;
mod tables;
mod training;

pub use profile::profile_page;
pub use training::training;

use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

/// A page without its body.
pub struct Page<'a> {
    /// Its title.
    pub title: &'a str,
    /// A line above it.
    pub eyebrow: &'a str,
    /// What it says, in a sentence or two.
    pub summary: &'a str,
    /// Rules for what only this page has, after those of all.
    pub style: &'static str,
}

impl Page<'_> {
    /// The page around its body.
    pub fn whole(&self, body: Markup) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    // The page needs nothing from anywhere; say so, so that hostile text cannot make it ask.
                    meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                    meta name="color-scheme" content="light dark";
                    title { "Sprig: " (self.title) }
                    style { (PreEscaped(STYLE)) (PreEscaped(self.style)) }
                }
                body { main {
                    header {
                        p.eyebrow { (self.eyebrow) }
                        h1 { (self.title) }
                        p.summary { (self.summary) }
                    }
                    (body)
                } }
            }
        };
        page.into_string()
    }
}

/// A part of a page.
pub fn card(title: &str, body: Markup) -> Markup {
    html! { section { h2 { (title) } (body) } }
}
