//! What is inside of a table's files, kept in the state: one gateway looks into the files, and all gateways know.
//!
//! ```text
//!  100,000 files ─by a hash of their paths─> groups of about 500 ─hash of their names and versions─> use/files/<hash>
//! ```
//! The name of an object is made from everything that decides what is in it, so an object is right or it is not there.
//! If one file changes, the objects of the other groups stay. An object that cannot be read is as good as none.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Statistics;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion_proto_common::protobuf_common as protobuf;
use dunlin_manifest::keys;
use dunlin_manifest::model::encoding::digest_of;
use dunlin_manifest::store::below;
use dunlin_plan::stores::Stores;
use dunlin_plan::{fence, wire};
use futures::{StreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use prost::Message;

use super::facts::{Cast, Facts, Version};

/// A table with fewer files that have footers is looked into: that takes no longer.
pub(super) const LEAST_FILES: usize = 32;
/// The same for other files. Their first rows are looked at, up to 16 MiB of each.
pub(super) const LEAST_OTHERS: usize = 8;
/// Files of a group, about.
const GROUP_FILES: usize = 512;
/// Objects that are read or written at the same time.
const AT_ONCE: usize = 32;
/// Part of every name, so that another form has other names.
const FORM: &str = "4";
/// Level of Zstandard.
const ZSTD: i32 = 1;
/// An object has at most so many bytes once it is unpacked.
const MOST: usize = 256 << 20;

/// The columns of a file, and what is known of them.
pub(super) type Inside = (SchemaRef, Arc<Facts>);

/// Where what is known of files is kept.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    store: Option<Arc<dyn ObjectStore>>,
    prefix: Path,
    /// What else decides what is found in a file: this engine.
    engine: String,
}

/// The files of a table that may be known, in order.
pub(super) struct Looked<'a> {
    /// The address of their store.
    pub(super) address: &'a str,
    /// How they are read.
    pub(super) way: &'a str,
    /// The files.
    pub(super) files: &'a [ObjectMeta],
    /// Of how many of them, the first ones, more is looked at than the header.
    pub(super) sampled: usize,
}

/// The files of one group, in order.
struct Group {
    key: Path,
    files: Vec<Path>,
}

#[derive(Clone, PartialEq, Message)]
struct Object {
    /// Each schema once, as text.
    #[prost(string, repeated, tag = "1")]
    schemas: Vec<String>,
    #[prost(message, repeated, tag = "2")]
    files: Vec<File>,
}

#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(uint32, tag = "1")]
    schema: u32,
    #[prost(message, optional, tag = "2")]
    statistics: Option<protobuf::Statistics>,
    #[prost(message, repeated, tag = "3")]
    order: Vec<Key>,
}

#[derive(Clone, PartialEq, Message)]
struct Key {
    #[prost(uint32, tag = "1")]
    column: u32,
    #[prost(bool, tag = "2")]
    descending: bool,
    #[prost(bool, tag = "3")]
    nulls_first: bool,
}

impl Shelf {
    pub(super) fn new(stores: &Stores) -> Self {
        let place = stores.control_location();
        let engine = fence::current().map(|fence| fence.engine).unwrap_or_default();
        Self { store: stores.get(&place.address()), prefix: place.path.clone(), engine }
    }

    /// The groups of a listing.
    fn groups(&self, of: &Looked<'_>) -> Vec<Group> {
        let Looked { address, way, files, sampled } = *of;
        let count = files.len().div_ceil(GROUP_FILES).next_power_of_two();
        let mut groups: Vec<Vec<(usize, &ObjectMeta)>> = vec![Vec::new(); count];
        for (at, file) in files.iter().enumerate() {
            groups[place(file.location.as_ref(), count)].push((at, file));
        }
        let key = |files: Vec<(usize, &ObjectMeta)>| {
            let mut text = format!("{FORM}\n{}\n{address}\n{way}\n", self.engine);
            for (at, file) in &files {
                let Version { size, e_tag, modified } = Version::from(*file);
                // Of a file with a tag, the time says nothing more.
                let version = e_tag.unwrap_or_else(|| modified.to_string());
                let header = if *at < sampled { "" } else { "header\n" };
                text += &format!("{}\n{size}\n{version}\n{header}", file.location);
            }
            let name = keys::files(&digest_of(text.as_bytes()));
            let key = below(&self.prefix, name);
            Group { key, files: files.into_iter().map(|(_, file)| file.location.clone()).collect() }
        };
        groups.into_iter().filter(|files| !files.is_empty()).map(key).collect()
    }

    /// What is known of files. Only groups that have an unknown file are read.
    pub(super) async fn read(
        &self,
        of: &Looked<'_>,
        is_known: impl Fn(&Path) -> bool,
    ) -> HashMap<Path, Inside> {
        let Some(store) = &self.store else { return HashMap::new() };
        let mut wanted = self.groups(of);
        wanted.retain(|group| !group.files.iter().all(&is_known));
        let read = stream::iter(wanted)
            .map(|Group { key, files }| {
                let store = Arc::clone(store);
                async move {
                    let bytes = async { store.get(&key).await?.bytes().await };
                    let known = unpacked(&bytes.await.ok()?, files.len())?;
                    Some(files.into_iter().zip(known).collect::<Vec<_>>())
                }
            })
            .buffer_unordered(AT_ONCE);
        read.collect::<Vec<_>>().await.into_iter().flatten().flatten().collect()
    }

    /// Keeps what is known of files. Only groups that have a new file are written, and only if all their files are known.
    pub(super) async fn write(
        &self,
        of: &Looked<'_>,
        is_new: impl Fn(&Path) -> bool,
        inside: impl Fn(&Path) -> Option<Inside>,
    ) {
        let Some(store) = &self.store else { return };
        let mut objects = Vec::new();
        for group in self.groups(of) {
            if !group.files.iter().any(&is_new) {
                continue;
            }
            let known: Option<Vec<Inside>> = group.files.iter().map(&inside).collect();
            if let Some(bytes) = known.and_then(|known| packed(&known)) {
                objects.push((group.key, bytes));
            }
        }
        stream::iter(objects)
            .for_each_concurrent(AT_ONCE, |(key, bytes)| {
                let store = Arc::clone(store);
                async move {
                    if let Err(error) = store.put(&key, bytes.into()).await {
                        tracing::debug!(%key, %error, "what is known of files could not be kept");
                    }
                }
            })
            .await;
    }
}

/// The group of a path. `count` is a power of two.
fn place(path: &str, count: usize) -> usize {
    let digest = digest_of(path.as_bytes());
    let number = u32::from_str_radix(digest.get(..8).unwrap_or_default(), 16).unwrap_or(0);
    number as usize & (count - 1)
}

/// The bytes of an object. Nothing if it would not come back as it is.
fn packed(known: &[Inside]) -> Option<Vec<u8>> {
    let mut object = Object::default();
    let mut places: HashMap<SchemaRef, u32> = HashMap::new();
    for (schema, facts) in known {
        let next = u32::try_from(places.len()).ok()?;
        let number = *places.entry(Arc::clone(schema)).or_insert(next);
        if number == next {
            object.schemas.push(wire::schema_to_text(schema).ok()?);
        }
        let order = facts.ordering.iter().flat_map(|order| order.iter());
        let key = |key: &PhysicalSortExpr| {
            let column = key.expr.downcast_ref::<Column>()?;
            Some(Key {
                column: u32::try_from(column.index()).ok()?,
                descending: key.options.descending,
                nulls_first: key.options.nulls_first,
            })
        };
        object.files.push(File {
            schema: number,
            statistics: Some(facts.statistics.as_ref().into()),
            order: order.map(key).collect::<Option<_>>()?,
        });
    }
    let bytes = zstd::bulk::compress(&object.encode_to_vec(), ZSTD).ok()?;
    let back = unpacked(&bytes, known.len())?;
    let is_same = |((schema, facts), (again, found)): (&Inside, &Inside)| {
        schema == again && facts.statistics == found.statistics && facts.ordering == found.ordering
    };
    known.iter().zip(&back).all(is_same).then_some(bytes)
}

/// What an object says of its files; nothing if it cannot be read.
fn unpacked(bytes: &[u8], files: usize) -> Option<Vec<Inside>> {
    let object = Object::decode(zstd::bulk::decompress(bytes, MOST).ok()?.as_slice()).ok()?;
    let schemas: Vec<SchemaRef> = object
        .schemas
        .iter()
        .map(|text| wire::schema_from_text(text))
        .collect::<Result<_>>()
        .ok()?;
    let file = |file: &File| -> Option<Inside> {
        let schema = Arc::clone(schemas.get(file.schema as usize)?);
        let statistics = Statistics::try_from(file.statistics.as_ref()?).ok()?;
        if statistics.column_statistics.len() != schema.fields().len() {
            return None;
        }
        let key = |key: &Key| {
            let at = key.column as usize;
            let column = Column::new(schema.fields().get(at)?.name(), at);
            let options = datafusion::arrow::compute::SortOptions {
                descending: key.descending,
                nulls_first: key.nulls_first,
            };
            Some(PhysicalSortExpr::new(Arc::new(column), options))
        };
        let order: Vec<PhysicalSortExpr> = file.order.iter().map(key).collect::<Option<_>>()?;
        let facts = Facts {
            statistics: Arc::new(statistics),
            ordering: LexOrdering::new(order),
            cast: Cast::default(),
        };
        Some((schema, Arc::new(facts)))
    };
    let known: Vec<Inside> = object.files.iter().map(file).collect::<Option<_>>()?;
    (known.len() == files).then_some(known)
}

#[cfg(test)]
mod tests;
