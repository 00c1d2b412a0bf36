//! What one device learned in a round.

use super::codec::{self, FRAME, Fields, Map, fields};
use super::error::Fault;
use super::{Digest, GroupSet, RunId};

/// Scalars of an update at most: with the other fields, one message of 64 KiB.
pub const MAX_SCALARS: usize = 16_000;

/// Sent to `update/<device>` until a receipt arrives.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The run.
    pub run: RunId,
    /// Number of the round.
    pub round: u32,
    /// The device's number.
    pub number: u32,
    /// The groups that were trained: those of the task it answers.
    pub groups: GroupSet,
    /// The adapter it started from.
    pub base: Digest,
    /// Examples trained on.
    pub examples: u32,
    /// Mean loss over them.
    pub loss: f32,
    /// What was learned.
    pub body: Body,
}

/// What was learned.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// The coefficients of the directions, at most [`MAX_SCALARS`].
    Scalars(Vec<f32>),
    /// The share's weights, sent as a blob at `up/<device>/<digest>/<n>`.
    Dense {
        /// Of the blob's bytes.
        digest: Digest,
        /// Length of the blob.
        bytes: u32,
    },
}

super::message!(Update, FRAME + 18 + 6 + 6 + 11 + 35 + 6 + 6 + (4 + 4 * MAX_SCALARS));

impl Update {
    fn write(&self, map: &mut Map<'_>) {
        map.bytes(1, &self.run.0);
        map.uint(2, self.round);
        map.uint(3, self.number);
        map.groups(4, self.groups);
        map.bytes(5, &self.base.0);
        map.uint(6, self.examples);
        map.f32(7, self.loss);
        match &self.body {
            Body::Scalars(values) => map.floats(8, values),
            Body::Dense { digest, bytes } => map.map(9, |blob| {
                blob.bytes(0, &digest.0);
                blob.uint(1, *bytes);
            }),
        }
    }

    fn read(f: &mut Fields<'_, '_>) -> Result<Self, Fault> {
        Ok(Self {
            run: f.need(1, "run", codec::run)?,
            round: f.need(2, "round", codec::u32)?,
            number: f.need(3, "number", codec::u32)?,
            groups: f.need(4, "groups", codec::groups)?,
            base: f.need(5, "base", codec::digest)?,
            examples: f.need(6, "examples", codec::u32)?,
            loss: f.need(7, "loss", codec::f32)?,
            body: read_body(f)?,
        })
    }
}

fn read_body(f: &mut Fields<'_, '_>) -> Result<Body, Fault> {
    let scalars = f.maybe(8, "scalars", codec::floats(MAX_SCALARS))?;
    let dense = f.maybe(9, "dense", |d| {
        fields(d, |f| {
            Ok(Body::Dense {
                digest: f.need(0, "digest", codec::digest)?,
                bytes: f.need(1, "bytes", codec::u32)?,
            })
        })
    })?;
    match (scalars, dense) {
        (Some(values), None) => Ok(Body::Scalars(values)),
        (None, Some(dense)) => Ok(dense),
        _ => Err(Fault::new("either scalars (key 8) or a blob (key 9) are needed").within("body")),
    }
}
