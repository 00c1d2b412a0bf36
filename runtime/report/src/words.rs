//! Numbers and times as a reader wants them.

/// With thousands separated: `134,515,008`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `singular` or its plural in s, with the number.
pub fn counted(n: u64, singular: &str) -> String {
    format!("{} {singular}{}", count(n), if n == 1 { "" } else { "s" })
}

/// Three significant digits without an exponent where that is short, else with one: `0.0021`, `2.4e-7`.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "not finite".into();
    }
    if size >= 1000.0 {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", count(size.round() as u64));
    }
    if size != 0.0 && size < 1e-4 {
        return format!("{value:e}").split_once('e').map_or_else(String::new, |(mantissa, exponent)| {
            let mantissa: f64 = mantissa.parse().unwrap_or_default();
            format!("{}e{exponent}", trim(&format!("{mantissa:.2}")))
        });
    }
    let decimals = if size == 0.0 { 0 } else { (2 - size.log10().floor() as i32).clamp(0, 7) as usize };
    trim(&format!("{value:.decimals$}")).into()
}

fn trim(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// `84.2%`.
pub fn percent(share: f64) -> String {
    format!("{:.1}%", 100.0 * share)
}

/// `2.80 s` or `742 ms`.
pub fn millis(ms: f64) -> String {
    if ms >= 1000.0 { format!("{:.2} s", ms / 1000.0) } else { format!("{} ms", number(ms)) }
}

/// `48.5 °C`.
pub fn degrees(celsius: f64) -> String {
    format!("{celsius:.1} °C")
}

/// `11 min 52 s`.
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `2025-11-22 15:55 UTC`, from seconds since 1970.
pub fn date(seconds: u64) -> String {
    // Days to a civil date, counted in eras of 400 years that begin on 1 March (Hinnant's algorithm).
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", seconds / 3600 % 24, seconds / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        for (value, want) in [
            (0.0, "0"),
            (0.5127, "0.513"),
            (2.0, "2"),
            (84.25, "84.2"),
            (999.4, "999"),
            (134_515.4, "134,515"),
            (-1234.0, "-1,234"),
            (0.002, "0.002"),
            (2.44e-7, "2.44e-7"),
            (f64::NAN, "not finite"),
            (1e300, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(number(value), want);
        }
    }

    #[test]
    fn dates_and_durations() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_399), "2000-02-28 23:59 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_763_826_900), "2025-11-22 15:55 UTC");
        assert_eq!(
            (duration(59), duration(712), duration(7_300)),
            ("59 s".into(), "11 min 52 s".into(), "2 h 1 min".into())
        );
        assert_eq!((counted(1, "step"), counted(1234, "step")), ("1 step".into(), "1,234 steps".into()));
    }
}
