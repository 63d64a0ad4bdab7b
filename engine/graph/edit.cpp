#include "engine/graph/edit.h"

#include <algorithm>

#include <fmt/format.h>
#include <konv/error.hpp>

#include "engine/base/text.h"

namespace konv {
namespace {

/// The nodes that produce `values`.
void append_producers(const Graph& graph, const std::vector<ValueId>& values, std::vector<NodeId>& producers) {
  for (const ValueId value : values) {
    if (value && graph.producer(value)) producers.push_back(graph.producer(value));
  }
}

bool read_by_nobody(const Graph& graph, NodeId id) {
  const std::vector<ValueId>& outputs = graph.node(id).outputs;
  return std::all_of(outputs.begin(), outputs.end(), [&](ValueId output) { return graph.reader_count(output) == 0; });
}

/// Removes those of `suspects` that nobody reads, and what only they read. Returns how many.
int remove_unread(Graph& graph, std::vector<NodeId> suspects) {
  int removed = 0;
  while (!suspects.empty()) {
    const NodeId id = suspects.back();
    suspects.pop_back();
    if (!graph.alive(id) || !read_by_nobody(graph, id)) continue;
    append_producers(graph, graph.node(id).inputs, suspects);
    graph.remove_node(id);
    ++removed;
  }
  return removed;
}

}  // namespace

ValueId Edit::constant(std::string name, Tensor tensor) {
  const ValueId id{next_value_++};
  constants_.push_back({id, std::move(name), std::move(tensor)});
  return id;
}

ValueId Edit::constant(std::string name, Tensor tensor, Quantization quantization) {
  const DType dtype = tensor.dtype;
  const ValueId id = constant(std::move(name), std::move(tensor));
  store(id, dtype, std::move(quantization));
  return id;
}

ValueId Edit::add(std::string name, Op op, std::vector<ValueId> inputs) {
  const ValueId id{next_value_++};
  added_.push_back({id, Node{std::move(name), std::move(op), std::move(inputs), {id}}});
  return id;
}

void Edit::replace(NodeId id, Op op, std::vector<ValueId> inputs) { replaced_.push_back({id, std::move(op), std::move(inputs)}); }

void Edit::redirect(ValueId from, ValueId to) { redirected_.emplace_back(from, to); }

void Edit::remove(NodeId id) { removed_.push_back(id); }

void Edit::store(ValueId id, DType dtype, Quantization quantization) { stored_.push_back({id, dtype, std::move(quantization)}); }

bool keeps_interface(const Graph& graph, const Edit& edit) {
  std::vector<ValueId> renamed;
  for (const auto& [from, to] : edit.redirected_) {
    if (!graph.is_output(from) || from == to) continue;
    const bool named = to.index < graph.value_count() && (graph.is_input(to) || graph.is_output(to));
    if (named || std::find(renamed.begin(), renamed.end(), to) != renamed.end()) return false;
    renamed.push_back(to);
  }
  return true;
}

void apply(Graph& graph, const Edit& edit) {
  const int made = static_cast<int>(edit.constants_.size() + edit.added_.size());
  if (graph.value_count() + made != edit.next_value_) throw Error("edit: made for another state of the graph");
  if (!keeps_interface(graph, edit))
    throw Error("edit: a graph output would lose its name; expected edits that keeps_interface() lets pass");
  graph.refresh_index();

  // New values, in the order in which the edit numbered them.
  auto constant = edit.constants_.begin();
  for (auto added = edit.added_.begin(); constant != edit.constants_.end() || added != edit.added_.end();) {
    const bool constant_next = added == edit.added_.end() || (constant != edit.constants_.end() && constant->id < added->output);
    if (constant_next) {
      graph.add_constant(constant->name, constant->tensor);
      ++constant;
    } else {
      graph.add_value(added->node.name);
      ++added;
    }
  }

  for (const Edit::Stored& stored : edit.stored_) {
    graph.value(stored.id).dtype = stored.dtype;
    graph.value(stored.id).quantization = stored.quantization;
  }

  // Redirections come before the nodes that the edit brings: those read exactly what it says.
  std::vector<NodeId> suspects;
  for (const auto& [from, to] : edit.redirected_) {
    append_producers(graph, {from}, suspects);
    const bool now_computes_it = std::any_of(edit.replaced_.begin(), edit.replaced_.end(), [&, value = to](const Edit::Replacement& r) {
      return graph.node(r.id).output() == value && value != from;
    });
    const bool takes_name = graph.is_output(from) || now_computes_it;
    graph.redirect(from, to);
    if (takes_name) graph.rename_value(to, std::string(graph.value(from).name));
  }
  for (const Edit::NewNode& added : edit.added_) suspects.push_back(graph.add_node(added.node));
  for (const Edit::Replacement& replaced : edit.replaced_) {
    append_producers(graph, graph.node(replaced.id).inputs, suspects);
    graph.replace_node(replaced.id, replaced.op, replaced.inputs);
  }
  for (const NodeId id : edit.removed_) {
    if (!graph.alive(id)) continue;
    append_producers(graph, graph.node(id).inputs, suspects);
    graph.remove_node(id);
  }
  remove_unread(graph, std::move(suspects));
}

int remove_unread_nodes(Graph& graph) {
  graph.refresh_index();
  std::vector<NodeId> all;
  for (int i = 0; i < graph.node_capacity(); ++i) {
    if (graph.alive(NodeId{i})) all.push_back(NodeId{i});
  }
  return remove_unread(graph, std::move(all));
}

}  // namespace konv
