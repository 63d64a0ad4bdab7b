#include <fmt/format.h>
#include <fmt/ranges.h>

#include <konv/error.hpp>

#include "engine/passes/passes.h"

namespace konv::passes {

namespace {

/// Names of the living nodes by index: what an edit removed is missing from the next.
std::vector<std::string> node_names(const Graph& graph) {
  std::vector<std::string> names(static_cast<std::size_t>(graph.node_capacity()));
  for (int i = 0; i < graph.node_capacity(); ++i) {
    if (graph.alive(NodeId{i})) names[static_cast<std::size_t>(i)] = graph.node(NodeId{i}).name;
  }
  return names;
}

/// "conv1: folded bn1", "removed dropout" when the matched node itself went, "q: stored" when none did (a verb's part behind a comma goes, too). Takes the names of removed nodes out of `names`.
std::string describe_edit(const Graph& graph, NodeId matched, const Pass& pass, std::vector<std::string>& names) {
  std::vector<std::string> gone;
  for (int i = 0; i < static_cast<int>(names.size()); ++i) {
    std::string& name = names[static_cast<std::size_t>(i)];
    if (name.empty() || graph.alive(NodeId{i})) continue;
    gone.push_back(std::move(name));
    name.clear();
  }
  const std::string_view verb = pass.verb;
  const std::string what = gone.empty() ? std::string(verb.substr(0, verb.find(','))) : fmt::format("{} {}", verb, fmt::join(gone, ", "));
  return graph.alive(matched) ? graph.node(matched).name + ": " + what : what;
}

/// Offers every node to the pass once, again while it fires there. Returns whether it fired at all.
bool sweep(Graph& graph, const Pass& pass, Context context, Report& report) {
  const std::vector<Fact> facts = infer(graph);
  context.facts = facts;
  std::vector<std::string> names = node_names(graph);
  bool fired = false;
  for (const NodeId id : graph.nodes()) {
    while (graph.alive(id)) {
      const std::optional<Edit> edit = pass.match(graph, id, context);
      if (!edit) break;
      apply(graph, *edit);
      report.fired.push_back(describe_edit(graph, id, pass, names));
      fired = true;
    }
  }
  return fired;
}

void note_refusals(const Graph& graph, const Pass& pass, Report& report) {
  if (!pass.refused) return;
  for (const NodeId id : graph.nodes()) {
    const std::string why = pass.refused(graph, id);
    if (!why.empty()) report.refused.push_back(fmt::format("{}: {}", label(graph.node(id)), why));
  }
}

void verify_after(Graph& graph, const Pass& pass) {
  try {
    verify(graph);
  } catch (const Error& error) {
    throw Error(fmt::format("after pass {}: {}", pass.name, error.what()));
  }
}

}  // namespace

std::vector<Report> run(Graph& graph, std::span<const Pass* const> passes, const Context& context) {
  if (!passes.empty()) verify(graph);  // and infer the shapes that passes look at
  std::vector<Report> reports;
  for (const Pass* pass : passes) {
    Report report{pass->name, {}, {}};
    while (sweep(graph, *pass, context, report)) verify_after(graph, *pass);
    note_refusals(graph, *pass, report);
    if (!report.fired.empty()) graph.metadata.passes.push_back(pass->name);
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace konv::passes
