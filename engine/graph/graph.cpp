#include "engine/graph/graph.h"

#include <algorithm>

#include <fmt/format.h>
#include <konv/error.hpp>

#include "engine/base/text.h"

namespace konv {
namespace {

std::size_t at(ValueId id) { return static_cast<std::size_t>(id.index); }
std::size_t at(NodeId id) { return static_cast<std::size_t>(id.index); }

/// `wanted`, or the first free one of wanted_1, wanted_2, ...: `suffixes` remembers where the search has come to.
template <class Names>
std::string unique_name(const Names& names, std::map<std::string, int, std::less<>>& suffixes, std::string wanted) {
  if (names.find(wanted) == names.end()) return wanted;
  int& suffix = suffixes[wanted];
  std::string name;
  do name = fmt::format("{}_{}", wanted, ++suffix);
  while (names.find(name) != names.end());
  return name;
}

}  // namespace

std::string label(const Node& node) { return fmt::format("node '{}' ({})", printable(node.name), display_name(node.op)); }

std::string Graph::unique_value_name(std::string wanted) {
  return unique_name(value_names_, value_suffixes_, wanted.empty() ? "value" : std::move(wanted));
}

std::string Graph::unique_node_name(std::string wanted) {
  return unique_name(node_names_, node_suffixes_, wanted.empty() ? "node" : std::move(wanted));
}

ValueId Graph::append_value(Value value) {
  const ValueId id{value_count()};
  value.name = unique_value_name(std::move(value.name));
  value_names_.emplace(value.name, id);
  values_.push_back(std::move(value));
  producers_.emplace_back();
  readers_.emplace_back();
  return id;
}

ValueId Graph::add_value(std::string value_name) {
  Value value;
  value.name = std::move(value_name);
  return append_value(std::move(value));
}

ValueId Graph::add_input(std::string input_name, DType dtype, Shape shape) {
  const ValueId id = add_value(std::move(input_name));
  value(id).dtype = dtype;
  value(id).shape = std::move(shape);
  inputs_.push_back(id);
  return id;
}

ValueId Graph::add_constant(std::string constant_name, Tensor tensor) {
  const ValueId id = add_value(std::move(constant_name));
  value(id).dtype = tensor.dtype;
  value(id).shape = to_shape(tensor.dims);
  value(id).constant = std::move(tensor);
  return id;
}

ValueId Graph::add(std::string node_name, Op op, std::vector<ValueId> node_inputs) {
  if (node_name.empty()) node_name = display_name(op);
  Node node{unique_node_name(std::move(node_name)), std::move(op), std::move(node_inputs), {}};
  const ValueId output = add_value(node.name);
  node.outputs.push_back(output);
  add_node(std::move(node));
  return output;
}

// Ids may be anything here: files are read through this, and verify() reports what is wrong with them.
NodeId Graph::add_node(Node node) {
  const NodeId id{node_capacity()};
  node.name = unique_node_name(node.name.empty() ? display_name(node.op) : std::move(node.name));
  node_names_.emplace(node.name, id);
  for (const ValueId output : node.outputs) {
    if (known(output) && !producers_[at(output)]) producers_[at(output)] = id;
  }
  nodes_.emplace_back(std::move(node));
  index_inputs(id);
  return id;
}

void Graph::remove_node(NodeId id) {
  unindex_inputs(id);
  for (const ValueId output : node(id).outputs) {
    if (known(output) && producers_[at(output)] == id) producers_[at(output)] = NodeId{};
  }
  node_names_.erase(node(id).name);
  nodes_[at(id)].reset();
}

void Graph::replace_node(NodeId id, Op op, std::vector<ValueId> node_inputs) {
  unindex_inputs(id);
  Node& node = *nodes_[at(id)];
  node.op = std::move(op);
  node.inputs = std::move(node_inputs);
  index_inputs(id);
}

void Graph::redirect(ValueId from, ValueId to) {
  if (from == to) return;
  for (const NodeId reader : readers(from)) {
    std::vector<ValueId>& slots = nodes_[at(reader)]->inputs;
    std::replace(slots.begin(), slots.end(), from, to);
  }
  if (!index_stale_) {
    readers_[at(to)].insert(readers_[at(to)].end(), readers_[at(from)].begin(), readers_[at(from)].end());
    readers_[at(from)].clear();
  }
  std::replace(outputs_.begin(), outputs_.end(), from, to);
}

void Graph::rename_value(ValueId id, std::string wanted) {
  if (value(id).name == wanted) return;
  value_names_.erase(value(id).name);
  const auto holder = value_names_.find(wanted);
  if (holder != value_names_.end()) {
    const ValueId other = holder->second;
    Value& renamed = value(other);
    renamed.name = unique_value_name(wanted);
    value_names_.emplace(renamed.name, other);
    value_names_.erase(wanted);
  }
  value(id).name = wanted;
  value_names_.emplace(std::move(wanted), id);
}

std::optional<ValueId> Graph::find_value(std::string_view wanted) const {
  const auto found = value_names_.find(wanted);
  if (found == value_names_.end()) return {};
  return found->second;
}

// Depth first from every node in the order of insertion: a node moves only where one before it reads what it produces.
std::vector<NodeId> Graph::nodes() const {
  enum class Mark : char { unseen, open, done };
  struct Visit {
    NodeId id;
    std::size_t next_input;
  };
  std::vector<NodeId> order;
  order.reserve(nodes_.size());
  std::vector<Mark> marks(nodes_.size(), Mark::unseen);
  std::vector<Visit> path;
  for (int i = 0; i < node_capacity(); ++i) {
    const NodeId root{i};
    if (!alive(root) || marks[at(root)] != Mark::unseen) continue;
    marks[at(root)] = Mark::open;
    path.push_back({root, 0});
    while (!path.empty()) {
      Visit& visit = path.back();
      const Node& reader = node(visit.id);
      if (visit.next_input == reader.inputs.size()) {
        marks[at(visit.id)] = Mark::done;
        order.push_back(visit.id);
        path.pop_back();
        continue;
      }
      const ValueId input = reader.inputs[visit.next_input++];
      const NodeId before = known(input) ? producers_[at(input)] : NodeId{};
      if (!alive(before) || marks[at(before)] == Mark::done) continue;
      if (marks[at(before)] == Mark::open)
        throw Error(label(reader) + ": reads its own result through a cycle; expected a graph without cycles");
      marks[at(before)] = Mark::open;
      path.push_back({before, 0});
    }
  }
  return order;
}

NodeId Graph::producer(ValueId id) const { return producers_[at(id)]; }

bool Graph::is_output(ValueId id) const { return std::find(outputs_.begin(), outputs_.end(), id) != outputs_.end(); }

bool Graph::is_input(ValueId id) const { return std::find(inputs_.begin(), inputs_.end(), id) != inputs_.end(); }

std::vector<NodeId> Graph::readers(ValueId id) const {
  std::vector<NodeId> found;
  if (!index_stale_) {
    found = readers_[at(id)];
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    return found;
  }
  for (int i = 0; i < node_capacity(); ++i) {
    const NodeId reader{i};
    if (!alive(reader)) continue;
    const std::vector<ValueId>& slots = node(reader).inputs;
    if (std::find(slots.begin(), slots.end(), id) != slots.end()) found.push_back(reader);
  }
  return found;
}

int Graph::reader_count(ValueId id) const {
  std::ptrdiff_t count = std::count(outputs_.begin(), outputs_.end(), id);
  if (!index_stale_) return static_cast<int>(count + std::ssize(readers_[at(id)]));
  for (const std::optional<Node>& node : nodes_) {
    if (node) count += std::count(node->inputs.begin(), node->inputs.end(), id);
  }
  return static_cast<int>(count);
}

void Graph::index_inputs(NodeId id) {
  if (index_stale_) return;
  for (const ValueId input : node(id).inputs) {
    if (known(input)) readers_[at(input)].push_back(id);
  }
}

void Graph::unindex_inputs(NodeId id) {
  if (index_stale_) return;
  for (const ValueId input : node(id).inputs) {
    if (known(input)) std::erase(readers_[at(input)], id);
  }
}

void Graph::refresh_index() {
  if (!index_stale_) return;
  index_stale_ = false;
  for (std::vector<NodeId>& readers : readers_) readers.clear();
  for (int i = 0; i < node_capacity(); ++i) {
    if (alive(NodeId{i})) index_inputs(NodeId{i});
  }
}

Graph Graph::compacted() const {
  Graph dense;
  dense.name = name;
  dense.metadata = metadata;
  std::vector<ValueId> moved(values_.size());
  const auto move = [&](ValueId id) {
    if (!known(id)) return id;
    if (!moved[at(id)]) moved[at(id)] = dense.append_value(value(id));
    return moved[at(id)];
  };
  for (const ValueId input : inputs_) dense.inputs_.push_back(move(input));
  for (const NodeId id : nodes()) {
    Node copy = node(id);
    for (ValueId& input : copy.inputs) input = move(input);
    for (ValueId& output : copy.outputs) output = move(output);
    dense.add_node(std::move(copy));
  }
  for (const ValueId output : outputs_) dense.outputs_.push_back(move(output));
  return dense;
}

}  // namespace konv
