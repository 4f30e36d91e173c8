//! What the wire form of a scan of text loses: how its files are compressed, and that a JSON file is one array.

use std::sync::Arc;

use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::common::{Result, internal_err};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, JsonSource};
use prost::Message;

/// What the wire form of a scan loses.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct Text {
    /// 0 none, 1 gzip, 2 bzip2, 3 xz, 4 zstd.
    #[prost(uint32, tag = "1")]
    compression: u32,
    #[prost(bool, tag = "2")]
    is_array: bool,
}

/// True for a scan of JSON files of which each is one array.
#[must_use]
pub fn json_is_array(config: &FileScanConfig) -> bool {
    // The source has no accessor for it. It is the last field of what it prints.
    config.file_source.is::<JsonSource>()
        && format!("{:?}", config.file_source).ends_with("newline_delimited: false }")
}

/// What the wire form of this scan loses, if it loses something.
pub(super) fn lost(config: &FileScanConfig) -> Option<Text> {
    let compression = match config.file_compression_type.get_variant() {
        CompressionTypeVariant::UNCOMPRESSED => 0,
        CompressionTypeVariant::GZIP => 1,
        CompressionTypeVariant::BZIP2 => 2,
        CompressionTypeVariant::XZ => 3,
        CompressionTypeVariant::ZSTD => 4,
    };
    let text = Text { compression, is_array: json_is_array(config) };
    (text != Text::default()).then_some(text)
}

/// The scan with what its wire form has lost.
pub(super) fn restored(config: FileScanConfig, text: Text) -> Result<FileScanConfig> {
    let compression = match text.compression {
        0 => FileCompressionType::UNCOMPRESSED,
        1 => FileCompressionType::GZIP,
        2 => FileCompressionType::BZIP2,
        3 => FileCompressionType::XZ,
        4 => FileCompressionType::ZSTD,
        other => return internal_err!("a scan has compression {other}"),
    };
    let json = config.file_source.downcast_ref::<JsonSource>().filter(|_| text.is_array);
    let json = json.map(|json| json.clone().with_newline_delimited(false));
    let mut builder = FileScanConfigBuilder::from(config).with_file_compression_type(compression);
    if let Some(json) = json {
        builder = builder.with_source(Arc::new(json));
    }
    Ok(builder.build())
}
