//! The file of a device's own state: a global adapter, the local one beside it, and the routers that choose between them.
//!
//! GGUF as [`AdapterFile`](super::AdapterFile) describes it, with `general.type` = `personal`, so that no program takes it for
//! an adapter. On top: `sprig.personal.form`, `.global` (SHA-256 of the global adapter's file), `.data` (of the records),
//! `.settings`, `.sees`, `.pool`; `<base tensor>.local_b`, where both factors are the device's own `<base tensor>.local_a`, and
//! `router.<block>` of one number more than a router looks at, `router.text` where one decides for all blocks.

use super::file::{A, AdapterMeta, At, B, LoraPair, copy_finite, read_meta, read_pair};
use super::routing::{Group, Routing, Sees};
use super::spec::{AdapterSpec, Kind, Place, SpecError};
use super::write::header;
use super::{Adapter, AdapterError};
use crate::dual::Pool;
use crate::gguf::{Gguf, Mapped, TensorInfo};
use crate::kernels::Ctx;
use crate::model::{Geometry, Transformer};
use sprig_ground::names;
use std::ops::Range;
use std::path::Path;

const LOCAL_A: &str = ".local_a";
const LOCAL_B: &str = ".local_b";
const FORM: &str = "sprig.personal.form";
const GLOBAL: &str = "sprig.personal.global";
const DATA: &str = "sprig.personal.data";
const SEES: &str = "sprig.personal.sees";
const POOL: &str = "sprig.personal.pool";
const SETTINGS: &str = "sprig.personal.settings";

/// How a personal state was derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// By steps.
    Flow,
    /// In closed form, beside a read-out.
    ReadOut,
}

names!(Form, "form of a personal state", [Flow = "flow", ReadOut = "readout"]);

/// What the file of a personal state says beside its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct PersonalMeta {
    /// What the global adapter's file says of itself.
    pub adapter: AdapterMeta,
    /// SHA-256 of that file, hexadecimal.
    pub global: String,
    /// SHA-256 of the records that it was derived from, hexadecimal.
    pub data: String,
    /// How it was derived.
    pub form: Form,
    /// How routers decide.
    pub routing: Routing,
    /// Settings that it was derived with, as a text that two derivations share exactly if they do the same.
    pub settings: String,
}

/// The file of a personal state of which only the header has been read.
#[derive(Debug)]
pub struct PersonalFile {
    mapped: Mapped,
    meta: PersonalMeta,
    alpha: f32,
    pairs: Vec<Pairs>,
    /// Block, or 0 where one decides for all; and where its numbers lie.
    routers: Vec<(usize, Range<usize>)>,
}

/// One adapted layer: the global pair, and what of it the device has of its own.
#[derive(Debug)]
struct Pairs {
    global: LoraPair,
    local_a: Option<Range<usize>>,
    local_b: Range<usize>,
}

impl Adapter {
    /// Writes both adapters and their routers, so that a power cut leaves either the old file or the whole new one.
    ///
    /// # Errors
    /// A number that is not finite, more in `meta` than a file may say, or what the disk says.
    ///
    /// # Panics
    /// If it is one adapter alone, or has cores.
    pub fn write_personal(&self, path: impl AsRef<Path>, meta: &PersonalMeta) -> Result<(), AdapterError> {
        let (at, routers) = (At(path.as_ref()), self.routers.as_ref().expect("two adapters"));
        if let Some(w) = self.values().iter().find(|w| !w.is_finite()) {
            return Err(at.content(format!("a weight is {w}; the training that made it diverged")));
        }
        let mut writer = header(&meta.adapter, self.alpha(), "personal", at)?
            .metadata(FORM, meta.form.name())
            .metadata(GLOBAL, meta.global.as_str())
            .metadata(DATA, meta.data.as_str())
            .metadata(SETTINGS, meta.settings.as_str())
            .metadata(SEES, routers.routing.sees.name())
            .metadata(POOL, routers.routing.pool.name());
        for (block, module) in self.places() {
            let both = self.site(block, module, false).zip(self.local_site(block, module, false));
            let Some((global, local)) = both else { continue };
            assert!(global.core.is_none(), "cores have no place in the file");
            let (rank, base) = (global.rank, module.tensor_name(block));
            let (inp, out) = (global.down.values.len() / rank, global.up.values.len() / rank);
            let (a, b) = ([inp as u64, rank as u64], [rank as u64, out as u64]);
            writer = writer.tensor_f32(format!("{base}{A}"), &a, global.down.values);
            writer = writer.tensor_f32(format!("{base}{B}"), &b, global.up.values);
            if !std::ptr::eq(global.down.values, local.down.values) {
                writer = writer.tensor_f32(format!("{base}{LOCAL_A}"), &a, local.down.values);
            }
            writer = writer.tensor_f32(format!("{base}{LOCAL_B}"), &b, local.up.values);
        }
        for ((block, _), tensor) in routers.weights.iter().zip(routers.tensors()) {
            let values = &self.values()[tensor.range.clone()];
            let name = router_name(routers.routing.sees, *block);
            writer = writer.tensor_f32(name, &[values.len() as u64], values);
        }
        writer.write_atomic(at.0).map_err(|e| at.file(e))
    }
}

impl PersonalFile {
    /// Reads the header of a file and checks it; no weight is touched.
    ///
    /// # Errors
    /// The file cannot be read, or is no personal state.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, AdapterError> {
        let at = At(path.as_ref());
        let file = |e| at.file(e);
        let mapped = Mapped::open(at.0).map_err(file)?;
        let gguf = Gguf::parse(mapped.bytes()).map_err(file)?;
        let (adapter, alpha) = read_meta(&gguf, "personal", "give what `sprig personalise` wrote", at)?;
        let text = |key: &str| gguf.require_str(key).map(str::to_owned).map_err(file);
        let name = |key: &str, e: sprig_ground::names::NameError| at.content(format!("{key}: {e}"));
        let form = text(FORM)?.parse().map_err(|e| name(FORM, e))?;
        let sees: Sees = text(SEES)?.parse().map_err(|e| name(SEES, e))?;
        let pool: Pool = text(POOL)?.parse().map_err(|e| name(POOL, e))?;
        let routing = Routing { sees, pool, follows: true };
        let (global, data, settings) = (text(GLOBAL)?, text(DATA)?, text(SETTINGS)?);
        let meta = PersonalMeta { adapter, global, data, form, routing, settings };
        let (pairs, routers) = (read_all(&gguf, at)?, read_routers(&gguf, sees, at)?);
        drop(gguf);
        mapped.release(0..mapped.bytes().len()).map_err(file)?;
        Ok(Self { mapped, meta, alpha, pairs, routers })
    }

    /// What the file says beside its numbers.
    pub fn meta(&self) -> &PersonalMeta {
        &self.meta
    }

    /// The adapter that it holds, on a model of shape `g`.
    ///
    /// # Errors
    /// It adapts what such a model does not have, or its routers are of another.
    pub fn spec(&self, g: &Geometry) -> Result<AdapterSpec, AdapterError> {
        let place = |pairs: &Pairs| -> Result<Place, AdapterError> {
            let other = || pairs.global.other_model(self.mapped.path());
            let (block, module) = pairs.global.place(g).ok_or_else(other)?;
            Ok(Place { block, module, rank: pairs.global.rank })
        };
        let kept: Vec<Place> = self.pairs.iter().map(place).collect::<Result<_, _>>()?;
        let own = self.pairs.iter().any(|pairs| pairs.local_a.is_some());
        let spec = AdapterSpec {
            kind: if own { Kind::Lora } else { Kind::BOnly },
            rank: kept.iter().map(|place| place.rank).max().unwrap_or(0),
            alpha: self.alpha,
            targets: Vec::new(),
            layers: 0..0,
            kept,
            routing: Some(self.meta.routing),
        };
        let at = At(self.mapped.path());
        if self.pairs.iter().any(|pairs| pairs.local_a.is_some() != own) {
            return Err(
                at.content("some of its layers have a first factor of their own, and some have not".into())
            );
        }
        let wanted: Vec<usize> = match self.meta.routing.sees {
            Sees::Text => vec![0],
            _ => spec.blocks(),
        };
        let (numbers, found) = (self.meta.routing.width(g) + 1, self.routers.iter());
        if !found.clone().map(|(block, _)| *block).eq(wanted)
            || found.clone().any(|(_, r)| r.len() != 4 * numbers)
        {
            let problem = "its routers are not those of its layers on this model; derive it anew".to_owned();
            return Err(at.content(problem));
        }
        Ok(spec)
    }

    /// Both adapters and their routers, on `model`; the file's own pages are released as they are copied.
    ///
    /// # Errors
    /// As [`spec`](Self::spec), and where a weight is not finite.
    pub fn load(&self, model: &Transformer<'_>, ctx: &Ctx) -> Result<Adapter, AdapterError> {
        let (at, spec) = (At(self.mapped.path()), self.spec(model.geometry())?);
        let wrong = |e: SpecError| at.content(e.to_string());
        let mut adapter = Adapter::new(&spec, model, ctx, |_, _| ()).map_err(wrong)?;
        let copy = |range: &Range<usize>, values: &mut [f32]| {
            copy_finite(&self.mapped.bytes()[range.clone()], values).map_err(|weight| {
                at.content(format!("a weight is {weight}; the training that made it diverged"))
            })
        };
        for (pairs, place) in self.pairs.iter().zip(&spec.kept) {
            adapter.go_on_from((place.block, place.module), self.alpha, |a, b| {
                copy(&pairs.global.a, a)?;
                copy(&pairs.global.b, b)
            })?;
            let (a, b) = adapter.local_parts((place.block, place.module));
            if let (Some(range), Some(a)) = (&pairs.local_a, a) {
                copy(range, &mut adapter.values[a])?;
            }
            copy(&pairs.local_b, &mut adapter.values[b])?;
        }
        let mut from = adapter.range(Group::Router).start;
        for (_, range) in &self.routers {
            let len = range.len() / 4;
            copy(range, &mut adapter.values[from..from + len])?;
            from += len;
        }
        self.mapped.release(0..self.mapped.bytes().len()).map_err(|e| at.file(e))?;
        Ok(adapter)
    }

    /// Refuses a base model other than the one it was derived on.
    ///
    /// # Errors
    /// As [`AdapterFile::check_base`](super::AdapterFile::check_base).
    pub fn check_base(&self, digest: &str) -> Result<(), AdapterError> {
        self.meta.adapter.check_base(digest)
    }
}

fn read_all(gguf: &Gguf<'_>, at: At<'_>) -> Result<Vec<Pairs>, AdapterError> {
    let mut pairs = Vec::new();
    let range = |t: &TensorInfo<'_>| gguf.data_range(t).map_err(|e| at.file(e));
    for tensor in gguf.tensors() {
        let Some(base) = tensor.name.strip_suffix(A) else { continue };
        let find = |suffix: &str| gguf.require_tensor(&format!("{base}{suffix}")).map_err(|e| at.file(e));
        let global = read_pair(gguf, base, tensor, find(B)?, at)?;
        let b = find(LOCAL_B)?;
        let a = gguf.tensor(&format!("{base}{LOCAL_A}"));
        let local = read_pair(gguf, base, a.unwrap_or(tensor), b, at)?;
        if (local.rank, local.in_features, local.out_features)
            != (global.rank, global.in_features, global.out_features)
        {
            return Err(at.content(format!("the two adapters of `{base}` are of different shapes")));
        }
        pairs.push(Pairs { global, local_a: a.map(range).transpose()?, local_b: range(b)? });
    }
    if pairs.is_empty() {
        return Err(at.content("it adapts nothing".to_owned()));
    }
    Ok(pairs)
}

fn read_routers(gguf: &Gguf<'_>, sees: Sees, at: At<'_>) -> Result<Vec<(usize, Range<usize>)>, AdapterError> {
    let mut routers = Vec::new();
    for tensor in gguf.tensors() {
        let Some(name) = tensor.name.strip_prefix("router.") else { continue };
        let block = if sees == Sees::Text { (name == "text").then_some(0) } else { name.parse().ok() };
        let Some(block) = block.filter(|_| tensor.ty == crate::gguf::TensorType::F32) else {
            return Err(at.content(format!("`{}` is no router of numbers in F32", tensor.name)));
        };
        routers.push((block, gguf.data_range(tensor).map_err(|e| at.file(e))?));
    }
    routers.sort_by_key(|(block, _)| *block);
    Ok(routers)
}

fn router_name(sees: Sees, block: usize) -> String {
    if sees == Sees::Text { "router.text".to_owned() } else { format!("router.{block}") }
}
