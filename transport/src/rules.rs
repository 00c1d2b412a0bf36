//! What MQTT says of topics, filters and packets.

use crate::link::{LinkError, MAX_PAYLOAD, MAX_TOPIC};

/// Checks what is about to be published.
pub(crate) fn check_publication(topic: &str, payload: &[u8]) -> Result<(), LinkError> {
    check_name(topic, "topic")?;
    if topic.contains(['+', '#']) {
        return Err(topic_error(topic, "topic", "it has a wildcard"));
    }
    if payload.len() > MAX_PAYLOAD {
        return Err(LinkError::TooLarge {
            topic: topic.to_owned(),
            bytes: payload.len(),
            limit: MAX_PAYLOAD,
        });
    }
    Ok(())
}

/// Checks what is about to be subscribed to.
pub(crate) fn check_filter(filter: &str) -> Result<(), LinkError> {
    check_name(filter, "filter")?;
    let levels: Vec<_> = filter.split('/').collect();
    for (i, level) in levels.iter().enumerate() {
        if level.contains('#') && (level.len() > 1 || i + 1 < levels.len()) {
            return Err(topic_error(filter, "filter", "`#` stands alone, at the end"));
        }
        if level.contains('+') && level.len() > 1 {
            return Err(topic_error(filter, "filter", "`+` stands alone in its level"));
        }
    }
    Ok(())
}

fn check_name(name: &str, kind: &'static str) -> Result<(), LinkError> {
    if name.is_empty() || name.len() > MAX_TOPIC {
        return Err(topic_error(name, kind, "1 to 256 bytes are accepted"));
    }
    if name.contains(char::is_control) {
        return Err(topic_error(name, kind, "it has a control character"));
    }
    Ok(())
}

fn topic_error(topic: &str, kind: &'static str, why: &'static str) -> LinkError {
    LinkError::Topic { topic: crate::messages::shortened(topic), kind, why }
}

/// Bytes of a PUBLISH packet of MQTT 5 at QoS 1 without properties.
pub fn packet_bytes(topic: &str, payload: &[u8]) -> u64 {
    packet_bytes_of(topic.len(), payload.len())
}

/// The same by the lengths of topic and payload.
pub(crate) fn packet_bytes_of(topic: usize, payload: usize) -> u64 {
    let rest = 2 + topic + 2 + 1 + payload;
    let length = match rest {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    };
    (1 + length + rest) as u64
}

/// Whether a filter matches a topic, by the rules of MQTT.
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        if wanted == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Who;

    #[test]
    fn filters_match_as_mqtt_says() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("a/+/c", "a/b/c", true),
            ("a/#", "a/b/c", true),
            ("a/#", "a", true),
            ("#", "a/b", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("a/b", "a/B", false),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn what_no_broker_takes_is_refused_here() {
        for bad in ["", "a/+b", "a/#/b", "#a", "a\0", &"x".repeat(257)] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
        for bad in ["", "a/+", "#", "a\n"] {
            assert!(check_publication(bad, &[]).is_err(), "{bad}");
        }
        assert!(check_publication("a", &vec![0; MAX_PAYLOAD]).is_ok());
        let large = check_publication("a", &vec![0; MAX_PAYLOAD + 1]).unwrap_err();
        assert!(large.to_string().contains("65537") && large.who() == Who::Program, "{large}");
    }

    #[test]
    fn packets_are_counted_to_the_byte() {
        assert_eq!(packet_bytes("a", &[]), 2 + 3 + 2 + 1);
        // The remaining length takes a second byte from 128 on.
        assert_eq!(packet_bytes("a", &[0; 121]), 2 + 127);
        assert_eq!(packet_bytes("a", &[0; 122]), 3 + 128);
    }
}
