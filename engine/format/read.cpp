#include "engine/format/read.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include <konv/error.hpp>

#include "engine/base/text.h"
#include "engine/format/attributes.h"
#include "engine/format/flat.h"
#include "engine/format/limits.h"
#include "engine/format/read_value.h"
#include "engine/format/text.h"

namespace konv::format {
namespace {

template <class T>
using Tables = flatbuffers::Vector<flatbuffers::Offset<T>>;

class Reader {
 public:
  Reader(const schema::Model& model, std::size_t structure_size, const Bytes& weights)
      : model_(model), weights_(weights), unread_(structure_size) {}

  Graph read() {
    graph_.name = text("the model's name", model_.name());
    read_symbols();
    read_values();
    read_nodes();
    for (const auto item : items(model_.outputs())) graph_.add_output(id("the model's output", item));
    if (model_.metadata()) read_metadata(*model_.metadata());
    return std::move(graph_);
  }

 private:
  // Tables may point to shared parts, and a small file could thus make a large graph. Ours share none that are copied, so what is copied
  // can never be more than the FlatBuffer.
  void charge(std::size_t bytes) {
    if (bytes > unread_) throw Error("uses parts of its structure more than once; expected each part to be used by one table");
    unread_ -= bytes;
  }
  template <class T>
  void charge(const flatbuffers::Vector<T>* vector) {
    charge(count(vector) * sizeof(T));
  }

  std::string text(std::string_view what, const flatbuffers::String* stored) {
    check_text(what, view(stored));
    charge(view(stored).size());
    return std::string(view(stored));
  }

  std::vector<std::string> texts(std::string_view what, const Tables<flatbuffers::String>* stored) {
    std::vector<std::string> all;
    all.reserve(count(stored));
    for (const auto item : items(stored)) all.push_back(text(what, item));
    return all;
  }

  /// The names of all tables are printable, short and differ.
  template <class T>
  void check_names(const char* what, const Tables<T>* tables, std::size_t most) {
    if (count(tables) > most) throw Error(fmt::format("has {} {}s; expected at most {}", count(tables), what, most));
    std::vector<std::string_view> names;
    names.reserve(count(tables));
    for (std::size_t i = 0; i < count(tables); ++i) {
      const std::string_view name = view(tables->Get(static_cast<flatbuffers::uoffset_t>(i))->name());
      check_name(fmt::format("the name of {} {}", what, i), name, kMaxName);
      charge(name.size());
      names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice != names.end()) throw Error(fmt::format("two {}s are named '{}'; expected names that differ", what, printable(*twice)));
  }

  ValueId id(std::string_view what, std::int32_t index) const {
    if (index < 0 || index >= std::ssize(ids_)) {
      throw Error(fmt::format("{} is value {}; expected one of the {} values", what, index, ids_.size()));
    }
    return ids_[static_cast<std::size_t>(index)];
  }

  void read_symbols() {
    symbols_ = texts("the name of a size", model_.symbols());
    for (const std::string& symbol : symbols_) check_name("the name of a size", symbol, kMaxSymbol);
  }

  // Graph inputs come first, in their order; the file's indices are mapped.
  void read_values() {
    const auto* values = model_.values();
    check_names("value", values, kMaxValues);
    ids_.resize(count(values));
    for (const auto item : items(model_.inputs())) {
      if (id("the model's input", item)) throw Error(fmt::format("the model's input {} is there twice; expected it once", item));
      add_value(static_cast<std::size_t>(item), true);
    }
    for (std::size_t i = 0; i < ids_.size(); ++i) {
      if (!ids_[i]) add_value(i, false);
    }
  }

  void add_value(std::size_t index, bool is_input) {
    const schema::Value& stored = *model_.values()->Get(static_cast<flatbuffers::uoffset_t>(index));
    const std::string name(view(stored.name()));
    try {
      charge(stored.shape());
      if (stored.quantization()) charge(stored.quantization()->scale()), charge(stored.quantization()->zero_point());
      if (stored.kept_rows()) charge(stored.kept_rows()->rows()), charge(stored.kept_rows()->dense_dims());
      const DType dtype = read_dtype(stored);
      std::optional<Tensor> constant = read_constant(stored, weights_);
      if (is_input && constant) throw Error("has weights and is an input of the model; expected one or the other");
      const ValueId id = is_input   ? graph_.add_input(name, dtype, read_shape(stored, symbols_))
                         : constant ? graph_.add_constant(name, std::move(*constant))
                                    : graph_.add_value(name);
      Value& value = graph_.value(id);
      value.dtype = dtype;
      value.quantization = read_quantization(stored);
      value.kept_rows = read_kept_rows(stored);
      ids_[index] = id;
    } catch (const Error& error) {
      throw Error(fmt::format("value '{}': {}", printable(name), error.what()));
    }
  }

  void read_nodes() {
    const auto* nodes = model_.nodes();
    check_names("node", nodes, kMaxNodes);
    for (const auto item : items(nodes)) {
      try {
        graph_.add_node(read_node(*item));
      } catch (const Error& error) {
        throw Error(fmt::format("node '{}' ({}): {}", printable(view(item->name())), printable(view(item->op())), error.what()));
      }
    }
  }

  Node read_node(const schema::Node& stored) {
    charge(stored.inputs());
    charge(stored.outputs());
    for (const auto item : items(stored.attributes())) charge(item->integers());
    Node node{std::string(view(stored.name())), read_op(stored), {}, {}};
    for (const auto item : items(stored.inputs())) {
      node.inputs.push_back(item == -1 ? ValueId{} : id("an input", item));
    }
    for (const auto item : items(stored.outputs())) node.outputs.push_back(id("an output", item));
    if (node.outputs.empty()) throw Error("has no outputs; expected at least one");
    return node;
  }

  void read_metadata(const schema::Metadata& stored) {
    Metadata& metadata = graph_.metadata;
    if (stored.preprocessing()) metadata.preprocessing = read_preprocessing(*stored.preprocessing());
    metadata.labels = texts("a label", stored.labels());
    metadata.source = text("the source", stored.source());
    metadata.passes = texts("the name of a pass", stored.passes());
    for (const auto item : items(stored.entries())) {
      const auto [entry, is_new] = metadata.entries.emplace(text("a key", item->key()), text("an entry", item->value()));
      if (!is_new) throw Error(fmt::format("entry '{}' is there twice; expected it once", printable(entry->first)));
    }
  }

  Preprocessing read_preprocessing(const schema::Preprocessing& stored) {
    charge(stored.mean());
    charge(stored.std());
    Preprocessing p{stored.width(), stored.height(), stored.scale(), {}, {}, stored.bgr()};
    p.mean.assign(items(stored.mean()).begin(), items(stored.mean()).end());
    p.std.assign(items(stored.std()).begin(), items(stored.std()).end());
    if (p.width < 0 || p.height < 0) throw Error(fmt::format("preprocessing makes {}x{} pixels; expected sizes from 0", p.width, p.height));
    return p;
  }

  const schema::Model& model_;
  const Bytes& weights_;
  std::size_t unread_;
  std::vector<ValueId> ids_;  // by index in the file
  std::vector<std::string> symbols_;
  Graph graph_;
};

}  // namespace

Graph read_graph(const schema::Model& model, std::size_t structure_size, const Bytes& weights) {
  return Reader(model, structure_size, weights).read();
}

}  // namespace konv::format
