//! Gives bytes to everything that reads the wire; shared by the fuzz target and the ordinary tests.

use sprig_transport::blob::Assembler;
use sprig_transport::messages::{
    Digest, FleetTotal, Job, Offer, Presence, Receipt, Record, Report, Round, Snapshot, Task, Update, Want,
    split_records,
};
use sprig_transport::topics::Topics;
use xxhash_rust::xxh3::xxh3_64;

/// Reads `bytes` as a message of each kind, as they are and with a check sum that fits. Returns how many kinds
/// accept them: those are written again and must read the same.
pub fn walk(bytes: &[u8]) -> usize {
    let framed = [bytes, &xxh3_64(bytes).to_le_bytes()].concat();
    for record in split_records(bytes) {
        let Ok(record) = record else { break };
        let _ = Record::decode(record);
    }
    if let Ok(mut blob) = Assembler::new(Digest([0; 32]), bytes.len() as u32, 1 << 20) {
        let _ = blob.take(0, bytes);
    }
    if let (Ok(topics), Ok(text)) = (Topics::new("fleet"), std::str::from_utf8(bytes)) {
        let _ = (topics.parse(text), topics.parse(&format!("sprig/1/fleet/{text}")));
    }
    kinds(bytes) + kinds(&framed)
}

fn kinds(bytes: &[u8]) -> usize {
    let mut accepted = 0;
    macro_rules! read {
        ($($kind:ident)*) => { $(
            if let Ok(message) = $kind::decode(bytes) {
                let written = message.encode();
                // NaN is not equal to itself, so the bytes are compared.
                let again = $kind::decode(&written).map(|message| message.encode());
                assert_eq!(again.as_ref(), Ok(&written), "{}", stringify!($kind));
                accepted += 1;
            }
        )* };
    }
    read!(Presence Job Round Task Update Receipt Report Record Snapshot Want Offer FleetTotal);
    accepted
}
