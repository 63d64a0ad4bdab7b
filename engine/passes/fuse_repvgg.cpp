// fuse-repvgg:  Conv(x) + Conv(x) + x + ...   =>   Conv(x)
//
// Any tree of Adds. Its terms are convolutions of one input, with or without a BatchNorm, and the input itself, with or without a BatchNorm.
// Smaller kernels (1x1, 1xk, kx1, kxk) go into the taps of the largest one that they lie on; an identity is a 1 in the centre:
//
//   W[o][i][centre] += 1 for i = o      (within o's group)
//
// Terms that do not fit stay in the sum. Matches at the convolution with the largest kernel, which stays and keeps its name.
// Source: Ding et al., "RepVGG: Making VGG-style ConvNets Great Again", 2021; the same for grouped and asymmetric kernels (ACNet, 2019).

#include <algorithm>

#include "engine/passes/list.h"
#include "engine/passes/parallel_convs.h"

namespace konv::passes {

namespace {

constexpr std::size_t kMostTerms = 64;  // a longer sum is no block of parallel branches, and looking through it costs its square

const Binary* as_sum(const Graph& graph, NodeId id) {
  const auto* sum = graph.as<Binary>(id);
  return sum && sum->kind == BinaryKind::add && is_plain_float(graph, graph.node(id).output()) ? sum : nullptr;
}

/// An Add that hands its sum to another Add and to nobody else.
bool is_inner(const Graph& graph, NodeId sum) {
  return as_sum(graph, sum)->activation.kind == ActivationKind::none && as_sum(graph, only_reader(graph, graph.node(sum).output()));
}

/// The last Add of the tree that `value` is a term of.
NodeId root_of(const Graph& graph, ValueId value) {
  NodeId sum = only_reader(graph, value);
  if (!as_sum(graph, sum)) return {};
  for (std::size_t i = 0; i < kMostTerms && is_inner(graph, sum); ++i) sum = only_reader(graph, graph.node(sum).output());
  return sum;
}

/// The terms from left to right; none when there are too many.
std::vector<ValueId> terms_of(const Graph& graph, NodeId root) {
  const Node& last = graph.node(root);
  std::vector<ValueId> terms, open{last.input(Binary::kB), last.input(Binary::kA)};
  while (!open.empty()) {
    const ValueId value = open.back();
    open.pop_back();
    const NodeId producer = graph.producer(value);
    if (as_sum(graph, producer) && only_reader(graph, value) && is_inner(graph, producer)) {
      open.push_back(graph.node(producer).input(Binary::kB));
      open.push_back(graph.node(producer).input(Binary::kA));
    } else {
      terms.push_back(value);
    }
    if (terms.size() + open.size() > kMostTerms) return {};
  }
  return terms;
}

/// Every term is a branch: what is no convolution hands on a value.
Branch branch_of(const Graph& graph, ValueId term) {
  Branch identity{.input = term, .output = term};
  if (!only_reader(graph, term)) return identity;  // somebody else needs the branch's result: it stays
  ValueId value = term;
  if (const Node* norm = graph.producer_as<BatchNorm>(term); norm && is_plain_float(graph, term)) {
    identity.norm = channel_affine(graph, *norm);
    if (!identity.norm) return identity;
    identity.input = value = norm->input(BatchNorm::kInput);
    if (!only_reader(graph, value)) return identity;
  }
  std::optional<Branch> branch = conv_branch(graph, graph.producer(value));
  if (!branch) return identity;
  branch->norm = identity.norm;
  branch->output = term;
  return *branch;
}

/// The terms that become one convolution: `big` and others that fit into it.
struct Group {
  std::size_t big = 0;
  std::vector<std::size_t> others;
};

Group group_around(const Graph& graph, std::vector<Branch>& branches, std::size_t big) {
  Group group{big, {}};
  for (std::size_t i = 0; i < branches.size(); ++i) {
    if (i == big) continue;
    const Branch seen = branches[i].conv ? branches[i] : identity_branch(branches[big], branches[i]);
    if (fits_into(graph, seen, branches[big])) group.others.push_back(i);
  }
  return group;
}

/// The group of most terms; among equals the larger kernel, then the first.
Group best_group(const Graph& graph, std::vector<Branch>& branches) {
  Group best;
  for (std::size_t i = 0; i < branches.size(); ++i) {
    if (!branches[i].conv) continue;
    Group group = group_around(graph, branches, i);
    const bool larger = group.others.size() > best.others.size() || (group.others.size() == best.others.size() && !group.others.empty() &&
                                                                     branches[i].taps() > branches[best.big].taps());
    if (larger) best = std::move(group);
  }
  return best;
}

}  // namespace

std::optional<Edit> fuse_repvgg(const Graph& graph, NodeId id, const Context&) {
  if (!graph.as<Conv>(id)) return {};
  const Node& conv = graph.node(id);
  const NodeId reader = only_reader(graph, conv.output());
  const NodeId root = root_of(graph, graph.as<BatchNorm>(reader) ? graph.node(reader).output() : conv.output());
  if (!root) return {};
  std::vector<Branch> branches;
  for (const ValueId term : terms_of(graph, root)) branches.push_back(branch_of(graph, term));
  const Group group = best_group(graph, branches);
  if (group.others.empty() || branches[group.big].conv != id) return {};  // nothing to add, or another convolution's turn

  const Branch& big = branches[group.big];
  std::vector<Branch> others;
  std::vector<ValueId> rest;  // terms that stay in the sum
  for (std::size_t i = 0; i < branches.size(); ++i) {
    const bool fused = std::find(group.others.begin(), group.others.end(), i) != group.others.end();
    if (fused) others.push_back(branches[i].conv ? branches[i] : identity_branch(big, branches[i]));
    if (!fused && i != group.big) rest.push_back(branches[i].output);
  }
  const MergedConv merged = merge(big, others);

  Edit edit(graph);
  Conv op = std::get<Conv>(conv.op);
  std::vector<ValueId> inputs{big.input, edit.constant(folded_name(graph, conv.input(Conv::kWeight)), merged.weight)};
  if (merged.bias) {
    const ValueId named = conv.input(Conv::kBias);
    inputs.push_back(edit.constant(named ? folded_name(graph, named) : conv.name + ".bias.folded", *merged.bias));
  }
  const Binary& sum = *as_sum(graph, root);
  if (rest.empty()) op.activation = sum.activation;
  edit.replace(id, op, inputs);
  if (rest.empty()) {
    edit.redirect(graph.node(root).output(), conv.output());
    return edit;
  }
  ValueId total = conv.output();
  for (std::size_t i = 0; i + 1 < rest.size(); ++i) total = edit.add(graph.node(root).name, Binary{}, {total, rest[i]});
  edit.replace(root, sum, {total, rest.back()});
  return edit;
}

}  // namespace konv::passes
