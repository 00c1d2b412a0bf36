//! What an error of the MQTT client means: who can end it.

use crate::certificate::{moment, now};
use crate::link::LinkError;
use rumqttc::mqttbytes::Error as PacketError;
use rumqttc::tokio_rustls::rustls::pki_types::UnixTime;
use rumqttc::tokio_rustls::rustls::{self, AlertDescription, CertificateError};
use rumqttc::{ConnectReturnCode, ConnectionError, StateError, TlsError};

/// What ended a connection, or kept it from coming about.
pub(super) enum Trouble {
    /// It passes by itself, or the network does.
    Passing(String),
    /// Somebody has to act.
    Standing(LinkError),
}

pub(super) fn judge(broker: &str, error: &ConnectionError) -> Trouble {
    let broker = || broker.to_owned();
    let refused = |why: String| Trouble::Standing(LinkError::Refused { broker: broker(), why });
    if let ConnectionError::ConnectionRefused(code)
    | ConnectionError::MqttState(StateError::ConnFail { reason: code }) = error
    {
        return match for_people(*code) {
            Some(why) => refused(why.to_owned()),
            None => Trouble::Passing(format!("the broker at {} answered {code:?}", broker())),
        };
    }
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(why)) => Trouble::Standing(match dates(why) {
            Some(why) => LinkError::Dates { broker: broker(), why },
            None => LinkError::Untrusted { broker: broker(), why: why.to_string() },
        }),
        Some(rustls::Error::AlertReceived(alert)) if is_about_certificates(*alert) => {
            refused(format!("it does not accept this client's certificate ({alert:?})"))
        }
        Some(other) => Trouble::Passing(format!("TLS with {}: {other}", broker())),
        None => Trouble::Passing(format!("{}: {error}", broker())),
    }
}

/// Answers that do not pass; none for those that do.
fn for_people(code: ConnectReturnCode) -> Option<&'static str> {
    Some(match code {
        ConnectReturnCode::BadUserNamePassword => "wrong user name or password",
        ConnectReturnCode::NotAuthorized => "not authorised (wrong user name or password, or no access rule)",
        ConnectReturnCode::BadClientId | ConnectReturnCode::ClientIdentifierNotValid => {
            "client id not accepted"
        }
        ConnectReturnCode::Banned => "banned",
        ConnectReturnCode::BadAuthenticationMethod => "it wants another kind of login",
        ConnectReturnCode::RefusedProtocolVersion | ConnectReturnCode::UnsupportedProtocolVersion => {
            "it does not speak MQTT 5"
        }
        ConnectReturnCode::TopicNameInvalid => "the will's topic is not accepted",
        ConnectReturnCode::PacketTooLarge => "the will is too large for it",
        ConnectReturnCode::RetainNotSupported => "it keeps no retained messages, which a fleet needs",
        ConnectReturnCode::QoSNotSupported => "it does not offer QoS 1, which a fleet needs",
        _ => return None,
    })
}

/// What a clock has to do with a certificate that is not accepted, if anything.
fn dates(why: &CertificateError) -> Option<String> {
    let at = |time: &UnixTime| moment(time.as_secs().try_into().unwrap_or(i64::MAX));
    Some(match why {
        CertificateError::ExpiredContext { time, not_after } => format!(
            "its certificate, or its authority's, is valid until {}, and the clock here says {}",
            at(not_after),
            at(time)
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "its certificate, or its authority's, is valid from {} on, and the clock here says {}",
            at(not_before),
            at(time)
        ),
        CertificateError::Expired | CertificateError::NotValidYet => {
            format!("{why}, and the clock here says {}", moment(now()))
        }
        _ => return None,
    })
}

fn is_about_certificates(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}

/// The TLS library's error, which comes as such or inside an I/O error.
fn tls_error(error: &ConnectionError) -> Option<&rustls::Error> {
    match error {
        ConnectionError::Tls(TlsError::TLS(error)) => Some(error),
        ConnectionError::Tls(TlsError::Io(error))
        | ConnectionError::Io(error)
        | ConnectionError::MqttState(StateError::Io(error)) => error.get_ref()?.downcast_ref(),
        ConnectionError::MqttState(StateError::Deserialization(PacketError::Io(error))) => {
            error.get_ref()?.downcast_ref()
        }
        _ => None,
    }
}

/// The largest packet the broker takes, if a larger one ended the connection.
pub(super) fn largest_packet(error: &ConnectionError) -> Option<u32> {
    match error {
        ConnectionError::MqttState(
            StateError::OutgoingPacketTooLarge { max, .. }
            | StateError::Deserialization(PacketError::OutgoingPacketTooLarge { max, .. }),
        ) => Some(*max),
        _ => None,
    }
}
