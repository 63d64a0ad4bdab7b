// merge-duplicates:  f(x) -> y, f(x) -> z   =>   f(x) -> y, and z's readers read y
//
// Common subexpressions: the same operator with the same attributes and the same inputs. Constants count as the same when they are small and equal
// (exporters write the shape arithmetic of every layer anew). The older node stays.

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "engine/graph/fields.h"
#include "engine/passes/list.h"

namespace konv::passes {

namespace {

constexpr std::int64_t kSmall = 256;  // bytes

/// Collects every field of an operator as text.
struct FieldText {
  std::string text;

  template <class T>
  void operator()(const char*, const T& field) {
    if constexpr (std::is_same_v<T, Ints>) {
      for (const std::int64_t value : field) append(value);
    } else {
      append(field);
    }
    text += ';';
  }

 private:
  template <class T>
  void append(const T& value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    text.append(bytes, sizeof bytes);
  }
};

bool same_operator(const Op& a, const Op& b) {
  if (a.index() != b.index()) return false;
  const auto text = [](const Op& op) {
    FieldText fields;
    std::visit([&](const auto& o) { describe(o, fields); }, op);
    return fields.text;
  };
  return text(a) == text(b);
}

bool same_value(const Graph& graph, ValueId a, ValueId b) {
  if (a == b) return true;
  const Tensor *x = graph.constant(a), *y = graph.constant(b);
  if (!x || !y || x->dtype != y->dtype || x->dims != y->dims || x->size_bytes() > kSmall) return false;
  if (graph.value(a).quantization || graph.value(b).quantization || graph.value(a).kept_rows || graph.value(b).kept_rows) return false;
  return std::memcmp(x->bytes.get(), y->bytes.get(), static_cast<std::size_t>(x->size_bytes())) == 0;
}

bool same_node(const Graph& graph, const Node& a, const Node& b) {
  if (!same_operator(a.op, b.op) || a.inputs.size() != b.inputs.size()) return false;
  for (std::size_t i = 0; i < a.inputs.size(); ++i) {
    if (!same_value(graph, a.inputs[i], b.inputs[i])) return false;
  }
  return true;
}

}  // namespace

std::optional<Edit> merge_duplicates(const Graph& graph, NodeId id, const Context&) {
  const Node& node = graph.node(id);
  const auto shared = std::find_if(node.inputs.begin(), node.inputs.end(), [&](ValueId v) { return v && !graph.constant(v); });
  if (shared == node.inputs.end()) return {};              // constants alone: fold-constants' work
  if (graph.value(node.output()).quantization) return {};  // scales belong to values
  for (const NodeId other : graph.readers(*shared)) {
    if (!(other < id) || graph.value(graph.node(other).output()).quantization || !same_node(graph, graph.node(other), node)) continue;
    Edit edit(graph);
    edit.redirect(node.output(), graph.node(other).output());
    if (keeps_interface(graph, edit)) return edit;  // else both are outputs and keep their names
  }
  return {};
}

}  // namespace konv::passes
