#include "engine/format/write.h"

#include <cstring>
#include <map>
#include <string_view>
#include <unordered_map>

#include <fmt/format.h>

#include <konv/error.hpp>

#include "engine/format/attributes.h"
#include "engine/format/header.h"
#include "engine/format/limits.h"

namespace konv::format {
namespace {

using flatbuffers::Offset;

std::size_t aligned(std::size_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

/// The weights section: where each constant goes. Constants with the same bytes share a place.
class Weights {
 public:
  schema::Span place(const Tensor& tensor) {
    const std::span<const std::byte> bytes(tensor.bytes.get(), static_cast<std::size_t>(tensor.size_bytes()));
    const auto hash = std::hash<std::string_view>{}({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    const auto [first, last] = by_hash_.equal_range(hash);
    for (auto it = first; it != last; ++it) {
      const Block& block = blocks_[it->second];
      if (same(block.bytes, bytes)) return {block.offset, bytes.size()};
    }
    by_hash_.emplace(hash, blocks_.size());
    const std::size_t offset = aligned(size_);
    blocks_.push_back({offset, bytes});
    size_ = offset + bytes.size();
    return {offset, bytes.size()};
  }

  struct Block {
    std::size_t offset;
    std::span<const std::byte> bytes;
  };
  const std::vector<Block>& blocks() const { return blocks_; }
  std::size_t size() const { return size_; }

 private:
  static bool same(std::span<const std::byte> a, std::span<const std::byte> b) {
    return a.size() == b.size() && (a.data() == b.data() || a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
  }

  std::vector<Block> blocks_;
  std::unordered_multimap<std::size_t, std::size_t> by_hash_;
  std::size_t size_ = 0;
};

class Writer {
 public:
  Writer(const Graph& graph, Weights& weights) : graph_(graph), weights_(weights) {}

  void write() {
    std::vector<Offset<schema::Value>> values;
    for (int i = 0; i < graph_.value_count(); ++i) values.push_back(value({i}));
    std::vector<Offset<schema::Node>> nodes;
    for (const NodeId id : graph_.nodes()) nodes.push_back(node(graph_.node(id)));
    const auto value_list = builder_.CreateVector(values);
    const auto node_list = builder_.CreateVector(nodes);
    const auto inputs = indices(graph_.inputs());
    const auto outputs = indices(graph_.outputs());
    const auto symbols = texts(symbols_);
    const auto metadata_table = metadata(graph_.metadata);
    const auto name = text(graph_.name);
    builder_.Finish(schema::CreateModel(builder_, name, value_list, node_list, inputs, outputs, symbols, metadata_table),
                    schema::ModelIdentifier());
    check_size();
  }

  std::span<const std::byte> structure() const { return std::as_bytes(std::span(builder_.GetBufferPointer(), builder_.GetSize())); }

 private:
  // Called while there is far less than the 2 GiB at which the builder would give up.
  void check_size() const {
    if (builder_.GetSize() > kMaxStructure) {
      throw Error(fmt::format("the model takes more than {} MiB beside its weights; expected less", kMaxStructure >> 20));
    }
  }

  Offset<flatbuffers::String> text(const std::string& text) {
    if (text.size() > kMaxStructure) throw Error(fmt::format("a text is {} bytes long; expected at most {}", text.size(), kMaxStructure));
    check_size();
    return builder_.CreateString(text);
  }

  Offset<flatbuffers::Vector<Offset<flatbuffers::String>>> texts(const std::vector<std::string>& all) {
    std::vector<Offset<flatbuffers::String>> offsets;
    for (const std::string& one : all) offsets.push_back(text(one));
    return builder_.CreateVector(offsets);
  }

  Offset<flatbuffers::Vector<std::int32_t>> indices(const std::vector<ValueId>& ids) {
    std::vector<std::int32_t> all;
    for (const ValueId id : ids) all.push_back(id.index);
    return builder_.CreateVector(all);
  }

  std::int64_t stored_size(const Dim& dim) {
    if (dim.known()) return dim.value();
    if (dim.symbol().empty()) return -1;
    const auto [found, is_new] = symbol_numbers_.emplace(dim.symbol(), std::ssize(symbols_));
    if (is_new) symbols_.push_back(dim.symbol());
    return -2 - found->second;
  }

  Offset<flatbuffers::Vector<std::int64_t>> shape(ValueId id, const Value& value) {
    if (value.constant) return builder_.CreateVector(value.constant->dims);
    if (!value.shape || !graph_.is_input(id)) return {};
    std::vector<std::int64_t> sizes;
    for (const Dim& dim : *value.shape) sizes.push_back(stored_size(dim));
    return builder_.CreateVector(sizes);
  }

  Offset<schema::Value> value(ValueId id) {
    const Value& value = graph_.value(id);
    const auto name = text(value.name);
    const auto sizes = shape(id, value);
    Offset<schema::Quantization> quantization;
    if (const auto& q = value.quantization) {
      const auto scale = builder_.CreateVector(q->scale);
      const auto zero_point = builder_.CreateVector(q->zero_point);
      quantization = schema::CreateQuantization(builder_, scale, zero_point, q->axis);
    }
    Offset<schema::KeptRows> kept_rows;
    if (const auto& kept = value.kept_rows) {
      const auto rows = builder_.CreateVector(kept->rows);
      const auto dense_dims = builder_.CreateVector(kept->dense_dims);
      kept_rows = schema::CreateKeptRows(builder_, rows, kept->granularity, dense_dims);
    }
    schema::Span span;
    if (value.constant) span = weights_.place(*value.constant);
    const DType dtype = value.constant ? value.constant->dtype : value.dtype;
    return schema::CreateValue(builder_, name, static_cast<schema::DType>(dtype), sizes, value.constant ? &span : nullptr, quantization,
                               kept_rows);
  }

  Offset<schema::Node> node(const Node& node) {
    const auto attributes = builder_.CreateVector(write_attributes(builder_, node.op));
    const auto name = text(node.name);
    const auto op = builder_.CreateSharedString(op_name(node.op));
    const auto inputs = indices(node.inputs);
    const auto outputs = indices(node.outputs);
    return schema::CreateNode(builder_, name, op, inputs, outputs, attributes);
  }

  Offset<schema::Metadata> metadata(const Metadata& metadata) {
    Offset<schema::Preprocessing> preprocessing;
    if (const auto& p = metadata.preprocessing) {
      const auto mean = builder_.CreateVector(p->mean);
      const auto deviation = builder_.CreateVector(p->std);
      preprocessing = schema::CreatePreprocessing(builder_, p->width, p->height, p->scale, mean, deviation, p->bgr);
    }
    std::vector<Offset<schema::Entry>> entries;
    for (const auto& [key, entry] : metadata.entries) {
      const auto stored_key = text(key);
      const auto stored_entry = text(entry);
      entries.push_back(schema::CreateEntry(builder_, stored_key, stored_entry));
    }
    const auto labels = texts(metadata.labels);
    const auto source = text(metadata.source);
    const auto passes = texts(metadata.passes);
    const auto entry_list = builder_.CreateVector(entries);
    return schema::CreateMetadata(builder_, preprocessing, labels, source, passes, entry_list);
  }

  const Graph& graph_;
  Weights& weights_;
  flatbuffers::FlatBufferBuilder builder_;
  std::vector<std::string> symbols_;
  std::map<std::string, std::ptrdiff_t> symbol_numbers_;
};

}  // namespace

Image::Image(const Graph& graph) : graph_(graph.compacted()) {
  Weights weights;
  Writer writer(graph_, weights);
  writer.write();

  const std::span<const std::byte> flat = writer.structure();
  const std::size_t weights_offset = aligned(kHeaderSize + flat.size());
  const Header header = make_header(flat.size(), weights_offset, weights.size());
  structure_.resize(kHeaderSize + flat.size());
  std::memcpy(structure_.data(), header.data(), kHeaderSize);
  std::memcpy(structure_.data() + kHeaderSize, flat.data(), flat.size());

  pieces_.push_back({0, structure_});
  for (const Weights::Block& block : weights.blocks()) pieces_.push_back({weights_offset + block.offset, block.bytes});
  size_ = weights_offset + weights.size();
}

}  // namespace konv::format
