// What a pass wants changed, collected before anything is touched: match fully, then edit.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "engine/graph/graph.h"

namespace konv {

/// Values made by constant() and add() exist once the edit is applied; their ids are valid in later calls of the same edit.
class Edit {
 public:
  explicit Edit(const Graph& graph) : next_value_(graph.value_count()) {}

  ValueId constant(std::string name, Tensor tensor);
  /// Integers that stand for real numbers.
  ValueId constant(std::string name, Tensor tensor, Quantization quantization);
  /// A new node with one new output.
  ValueId add(std::string name, Op op, std::vector<ValueId> inputs);
  /// Puts `op` in the place of node `id`: same name, same outputs, other inputs.
  void replace(NodeId id, Op op, std::vector<ValueId> inputs);
  /// All readers of `from` read `to`. `to` takes over the name where `from` is a graph output (keeps_interface() says when it cannot), and where this edit
  /// replaces the node that produces `to`: what is called so before and after are the same numbers.
  void redirect(ValueId from, ValueId to);
  void remove(NodeId id);
  /// Stores a value, of the graph or made by add(), in integers of `dtype`.
  void store(ValueId id, DType dtype, Quantization quantization);

 private:
  friend bool keeps_interface(const Graph& graph, const Edit& edit);
  friend void apply(Graph& graph, const Edit& edit);

  struct NewConstant {
    ValueId id;
    std::string name;
    Tensor tensor;
  };
  struct NewNode {
    ValueId output;
    Node node;
  };
  struct Stored {
    ValueId id;
    DType dtype;
    Quantization quantization;
  };
  struct Replacement {
    NodeId id;
    Op op;
    std::vector<ValueId> inputs;
  };

  int next_value_;
  std::vector<NewConstant> constants_;
  std::vector<NewNode> added_;
  std::vector<Replacement> replaced_;
  std::vector<std::pair<ValueId, ValueId>> redirected_;
  std::vector<NodeId> removed_;
  std::vector<Stored> stored_;
};

/// False when a redirection would give one value two names: a graph output cannot become a graph input or another output.
bool keeps_interface(const Graph& graph, const Edit& edit);

/// Applies an edit made for this very state of the graph. Redirections concern the nodes there are: what the edit adds or replaces reads
/// exactly the inputs it names. Nodes left without a reader are removed. Throws konv::Error unless keeps_interface().
void apply(Graph& graph, const Edit& edit);

/// Removes nodes none of whose outputs anybody reads, again and again. Returns how many.
int remove_unread_nodes(Graph& graph);

}  // namespace konv
