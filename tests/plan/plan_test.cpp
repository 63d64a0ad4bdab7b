// Plans as data: layouts, views, memory, JSON, refusals.
#include <doctest/doctest.h>

#include <list>
#include <tuple>

#include <konv/error.hpp>

#include "engine/plan/json.h"
#include "engine/plan/memory.h"
#include "tests/support/random_graph.h"

namespace konv::test {
namespace {

using plan::Plan;
using plan::Storage;

std::map<ValueId, Dims> batch(const Graph& graph, std::int64_t n) {
  std::map<ValueId, Dims> shapes;
  for (ValueId id : graph.inputs()) {
    Dims dims;
    for (const Dim& d : *graph.value(id).shape) dims.push_back(d.known() ? d.value() : n);
    shapes[id] = dims;
  }
  return shapes;
}

Plan plan_for(Graph graph, std::int64_t n = 2, const plan::Options& options = {}, Isa isa = Isa::avx512) {
  verify(graph);
  return plan::make(graph, batch(graph, n), Machine::typical(isa), options);
}

const plan::Value& value(const Plan& p, const std::string& name) {
  for (const plan::Value& v : p.values) {
    if (v.name == name) return v;
  }
  FAIL("no value " << name);
  return p.values.front();
}

/// No two slots that are alive at the same time share a byte.
void check_memory(const Plan& p) {
  const int end = static_cast<int>(p.steps.size());
  std::vector<int> first(p.values.size(), end + 1), last(p.values.size(), -2);
  const auto touch = [&](int v, int step) {
    if (v < 0) return;
    const auto r = static_cast<std::size_t>(plan::root(p, v));
    first[r] = std::min(first[r], step);
    last[r] = std::max(last[r], step);
  };
  for (int v : p.inputs) touch(v, -1);
  for (int s = 0; s < end; ++s) {
    for (int v : p.steps[static_cast<std::size_t>(s)].inputs) touch(v, s);
    touch(p.steps[static_cast<std::size_t>(s)].output, s);
  }
  for (int v : p.outputs) touch(v, end);
  for (std::size_t a = 0; a < p.values.size(); ++a) {
    for (std::size_t b = 0; b < a; ++b) {
      const plan::Value &x = p.values[a], &y = p.values[b];
      if (x.storage != Storage::arena || y.storage != Storage::arena || last[a] < first[b] || last[b] < first[a] || last[a] < 0 ||
          last[b] < 0)
        continue;
      CHECK_MESSAGE((x.offset + x.bytes <= y.offset || y.offset + y.bytes <= x.offset), x.name << " and " << y.name << " overlap");
    }
    if (p.values[a].storage == Storage::arena) CHECK(p.values[a].offset + p.values[a].bytes <= p.arena_bytes);
  }
}

const char* never(const ConvShape&) { return nullptr; }
double free_of_charge(const ConvShape&, const Machine&) { return 0; }
std::int64_t one_chunk(const ConvShape&) { return 1; }
std::size_t no_bytes(const ConvShape&) { return 0; }

/// A kernel that exists for planning only: NCHW16c with a physical halo.
Halo padding(const ConvShape& s) {
  return {static_cast<int>(s.pad_top), static_cast<int>(s.pad_left), static_cast<int>(s.pad_bottom), static_cast<int>(s.pad_right)};
}
const ConvCode kBlockedCode = {{one_chunk, no_bytes, nullptr}, 16, 16, padding, nullptr, nullptr};
const ConvKernel kBlocked[] = {{"conv_blocked_for_tests", Isa::avx512, never, free_of_charge, &kBlockedCode}};

TEST_CASE("a blocked, haloed layout is planned with reorders at its edges only") {
  Rng rng(1);
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 3, 10, 12});
  const ValueId a = add_conv(graph, rng, "a", x, 3, 24, {.pads = {1, 1, 1, 1}});
  const ValueId b = add_conv(graph, rng, "b", a, 24, 24, {.kernel = {5, 5}, .pads = {2, 2, 2, 2}});
  graph.add_output(b);
  const Plan p = plan_for(graph, 2, {.conv_kernels = kBlocked});

  const plan::Value& middle = value(p, graph.value(a).name);
  CHECK(middle.layout.format == Format::blocked);
  CHECK(middle.layout.block == 16);
  CHECK(middle.layout.padded_channels == 32);
  CHECK(middle.layout.halo == Halo{2, 2, 2, 2});
  const std::int64_t row = (12 + 4) * 16, plane = (10 + 4) * row;
  CHECK(middle.strides == Ints{2 * plane, plane, row, 16});
  CHECK(middle.start == 2 * row + 2 * 16);
  CHECK(middle.bytes == 2 * 2 * plane * 4);

  std::vector<std::string> ops;
  for (const plan::Step& step : p.steps) ops.push_back(step.op);
  CHECK(ops == std::vector<std::string>{"Halo", "Reorder", "Halo", "Conv", "Conv", "Reorder"});
  CHECK(value(p, "x").layout.format == Format::plain);
  CHECK(p.values[static_cast<std::size_t>(p.outputs[0])].layout.format == Format::plain);
  check_memory(p);
}

/// The kernel of a 3x3 convolution of 4x4 images, 256 to 512 channels, in a network that holds `others` more weights of 9 MB.
std::string deep_kernel(int others, const plan::Options& options = {}) {
  Rng rng(7);
  Graph graph;
  ValueId x = graph.add_input("x", DType::float32, {1, 256, 4, 4});
  const ValueId deep = x = add_conv(graph, rng, "deep", x, 256, 512, {.pads = {1, 1, 1, 1}});
  for (int i = 0; i < others; ++i) x = add_conv(graph, rng, "other" + std::to_string(i), x, 512, 512, {.pads = {1, 1, 1, 1}});
  graph.add_output(x);
  const Plan p = plan_for(graph, 1, options);
  const auto step = std::find_if(p.steps.begin(), p.steps.end(), [&](const plan::Step& s) {
    return s.output >= 0 && p.values[static_cast<std::size_t>(s.output)].name == graph.value(deep).name &&
           plan::family(s.work) == std::string("conv");
  });
  REQUIRE(step != p.steps.end());
  return step->kernel;
}

TEST_CASE("weights that come from DRAM in every run are not made larger") {
  std::vector<ConvKernel> ready;  // to be multiplied
  for (const ConvKernel& kernel : conv_kernels()) {
    if (std::string_view(kernel.name).find("_w9_") == std::string_view::npos) ready.push_back(kernel);
  }
  const plan::Options packed{.conv_kernels = ready};
  CHECK(deep_kernel(0, packed) == "conv_winograd2_f32_avx512");  // 8 MB of transformed weights, from L3
  CHECK(deep_kernel(2, packed) == "conv_igemm_f32_avx512");      // 23 MB in all: no room there
  CHECK(deep_kernel(2) == "conv_winograd4_w9_f32_avx512");       // transformed when they have arrived
}

TEST_CASE("the halo is the maximum over the consumers") {
  Rng rng(2);
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {1, 16, 8, 8});
  const ValueId a = add_conv(graph, rng, "a", x, 16, 16, {.kernel = {1, 1}});
  graph.add_output(add_conv(graph, rng, "b", a, 16, 16, {.pads = {1, 0, 1, 2}}));
  graph.add_output(add_conv(graph, rng, "c", a, 16, 16, {.kernel = {5, 1}, .pads = {2, 0, 0, 0}}));
  const Plan p = plan_for(graph, 1, {.conv_kernels = kBlocked});
  CHECK(value(p, graph.value(a).name).layout.halo == Halo{2, 0, 1, 2});
}

/// Who reads a halo finds it filled, in the first run and in later ones: byte by byte, what fills none spoils what does not lie as it does.
void check_halos(const Plan& p) {
  const auto placement = [](const plan::Value& v) {
    return std::tuple(v.offset, v.dims, v.layout.halo.top, v.layout.halo.left, v.strides, v.start);
  };
  using Placement = decltype(placement(p.values[0]));
  std::vector<const Placement*> filled(static_cast<std::size_t>(p.arena_bytes), nullptr);
  std::list<Placement> placements;
  const auto root = [&](int v) -> const plan::Value& { return p.values[static_cast<std::size_t>(plan::root(p, v))]; };
  const auto each_byte = [&](const plan::Value& v, const auto& f) {
    std::for_each(filled.begin() + v.offset, filled.begin() + v.offset + v.bytes, f);
  };
  const auto write = [&](const plan::Value& v, bool fill) {
    if (v.storage != Storage::arena) return;
    const Placement& mine = placements.emplace_back(placement(v));
    each_byte(v, [&](const Placement*& at) {
      if (fill) at = &mine;
      if (at && *at != mine) at = nullptr;
    });
  };
  for (const plan::Step& step : p.once) write(root(step.output), true);
  for (int run = 0; run < 2; ++run) {
    for (int input : p.inputs) write(root(input), false);
    for (const plan::Step& step : p.steps) {
      for (int input : step.inputs) {
        if (input < 0 || root(input).storage != Storage::arena || root(input).layout.halo.empty()) continue;
        bool there = true;
        each_byte(root(input), [&](const Placement* at) { there = there && at && *at == placement(root(input)); });
        CHECK_MESSAGE(there, step.name << " reads a halo of " << root(input).name << " that is not there");
      }
      write(root(step.output), step.op == "Halo");
    }
  }
}

TEST_CASE("a halo that is still there is not filled again") {
  Rng rng(8);
  for (const std::int64_t images : {1, 64}) {     // one image has room for halos that stay from one run to the next
    for (const std::int64_t middle : {16, 64}) {  // channels of the fourth image: wider ones lie where the others' halos were
      Graph graph;
      ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 16, 9, 9});
      std::int64_t channels = 16;
      for (int i = 0; i < 8; ++i) {
        const std::int64_t out = i == 3 ? middle : 16;
        x = add_conv(graph, rng, "c" + std::to_string(i), x, channels, out, {.pads = {1, 1, 1, 1}});
        channels = out;
      }
      graph.add_output(x);
      const Plan p = plan_for(graph, images, {.conv_kernels = kBlocked});
      check_memory(p);
      check_halos(p);
      const auto fills = std::count_if(p.steps.begin(), p.steps.end(), [](const plan::Step& step) { return step.op == "Halo"; });
      CHECK(fills + static_cast<std::int64_t>(p.once.size()) == (middle == 16 ? 2 : images == 1 ? 3 : 6));  // of 8
      if (images == 1) CHECK(fills == 0);
    }
  }
}

TEST_CASE("a copy of part of a copy reads the first one's input") {
  Rng rng(9);
  Graph graph;
  const auto ints = [&](const char* label, std::vector<std::int64_t> v) { return graph.add_constant(label, make_i64({std::ssize(v)}, v)); };
  const ValueId x = graph.add_input("x", DType::float32, {1, 16, 8, 8});
  const ValueId a = add_conv(graph, rng, "a", x, 16, 16, {.kernel = {1, 1}});
  const ValueId rows = graph.add("rows", Slice{}, {a, ints("0", {0}), ints("8", {8}), ints("axis 2", {2}), ints("2", {2})});
  const ValueId columns = graph.add("columns", Slice{}, {rows, ints("1", {1}), ints("7", {7}), ints("axis 3", {3}), ints("by 2", {2})});
  const ValueId wider = graph.add("wider", Pad{}, {columns, ints("pads", {0, 8, 0, 0, 0, 8, 0, 0})});
  const auto copies = [&] {
    const Plan p = plan_for(graph, 1, {.conv_kernels = kBlocked});
    check_memory(p);
    std::vector<std::string> names;
    for (const plan::Step& step : p.steps) {
      if (plan::family(step.work) == std::string("copy")) names.push_back(step.name);
    }
    return names;
  };
  graph.add_output(add_conv(graph, rng, "b", wider, 32, 16, {.kernel = {1, 1}}));
  CHECK(copies() == std::vector<std::string>{"wider"});
  graph.add_output(add_conv(graph, rng, "c", columns, 16, 16, {.kernel = {1, 1}}));
  CHECK(copies() == std::vector<std::string>{"columns", "wider"});  // somebody else reads the columns
}

TEST_CASE("a concat is a layout: its inputs are views of it") {
  Rng rng(3);
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {2, 4, 6, 6});
  const ValueId a = add_conv(graph, rng, "a", x, 4, 3, {.kernel = {1, 1}});
  const ValueId b = add_conv(graph, rng, "b", x, 4, 5, {.kernel = {1, 1}});
  const ValueId c = graph.add("c", Concat{1}, {a, b});
  graph.add_output(c);
  const Plan p = plan_for(graph);
  CHECK(p.steps.size() == 2);
  const plan::Value &va = value(p, graph.value(a).name), &vb = value(p, graph.value(b).name), &vc = value(p, graph.value(c).name);
  CHECK(va.storage == Storage::view);
  CHECK(vb.storage == Storage::view);
  CHECK(vc.storage == Storage::arena);
  CHECK(vb.strides == vc.strides);
  CHECK(vb.start == 3 * 36);
  check_memory(p);
}

TEST_CASE("a reshape is a view and takes no step") {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 4, 6, 6});
  const ValueId r = add_relu(graph, "r", x);
  graph.add_output(graph.add("f", Flatten{1}, {r}));
  const Plan p = plan_for(graph);
  CHECK(p.steps.size() == 1);
  CHECK(p.values[static_cast<std::size_t>(p.outputs[0])].storage == Storage::view);
}

TEST_CASE("slots are reused, and shared only where elementwise steps work in place") {
  Rng rng(4);
  Graph graph;
  ValueId x = graph.add_input("x", DType::float32, {1, 8, 16, 16});
  std::int64_t all = 0;
  for (int i = 0; i < 12; ++i) {
    x = add_sum(graph, "sum", add_conv(graph, rng, "conv", x, 8, 8, {.pads = {1, 1, 1, 1}}), x);
    all += 2 * 8 * 16 * 16 * 4;
  }
  graph.add_output(x);
  const Plan p = plan_for(graph, 1);
  check_memory(p);
  CHECK(p.arena_bytes == 2 * 8 * 16 * 16 * 4);  // the sum lies where the convolution's result lay
  CHECK(p.arena_bytes < all);
}

TEST_CASE("steps work in place only on what nobody needs any more") {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {1, 4, 8, 8});
  const auto relu = [&](const char* name, ValueId v) { return graph.add(name, Unary{{ActivationKind::relu, 0, 0}}, {v}); };
  const ValueId kept = relu("kept", x);       // in the place of x
  const ValueId other = relu("other", kept);  // kept is read again
  const ValueId row = graph.add("row", Reduce{ReduceKind::max, {2}, true}, {other});
  const ValueId sum = graph.add("sum", Binary{}, {other, row});   // in the place of other; row is of another size
  const ValueId last = graph.add("last", Binary{}, {sum, kept});  // in the place of sum
  graph.add_output(last);
  graph.add_output(kept);
  const Plan p = plan_for(graph, 1);
  check_memory(p);
  const auto slot = [&](const char* name) {
    for (std::size_t v = 0; v < p.values.size(); ++v) {
      if (p.values[v].name == name) return plan::root(p, static_cast<int>(v));
    }
    return -1;
  };
  CHECK(slot("kept") == slot("x"));
  CHECK(slot("other") != slot("kept"));
  CHECK(slot("sum") == slot("other"));
  CHECK(slot("last") == slot("sum"));
}

TEST_CASE("a plan survives JSON") {
  Rng rng(5);
  const Graph graph = residual_block(rng, 16, 8, 2);
  for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {  // also for machines that are not here
    const Plan p = plan_for(graph, 2, {}, isa);
    CHECK(plan::to_json(plan::from_json(plan::to_json(p))) == plan::to_json(p));
    for (const plan::Step& step : p.steps) CHECK(step.kernel.find(isa == Isa::portable ? "_avx" : "_never") == std::string::npos);
  }
  CHECK_THROWS_AS(plan::from_json("{"), Error);
  CHECK_THROWS_AS(plan::from_json("{\"device\": 3}"), Error);
}

TEST_CASE("candidates say why they were refused") {
  Rng rng(6);
  const Plan p = plan_for(conv_bn_relu(rng), 1, {}, Isa::avx2);
  bool isa_named = false;
  for (const plan::Candidate& c : p.steps.front().candidates) {
    isa_named |= c.refused == "needs avx512";
    CHECK((!c.refused.empty() || c.cost >= p.steps.front().cost));
  }
  CHECK(isa_named);
}

TEST_CASE("what cannot be planned is named") {
  Graph three;
  Rng rng(7);
  const ValueId x = three.add_input("x", DType::float32, {1, 2, 4, 4, 4, 4});
  three.add_output(add_conv(three, rng, "conv4d", x, 2, 2, {.kernel = {3, 3, 3, 3}}));
  CHECK_THROWS_WITH_AS(plan_for(three), doctest::Contains("conv4d"), Error);

  Graph graph = conv_bn_relu(rng);
  CHECK_THROWS_WITH_AS(plan_for(graph, 1, {.memory_limit = 10}), doctest::Contains("--memory-limit"), Error);
}

TEST_CASE("a memory limit leaves out kernels whose weights are large, before it is an error") {
  Rng rng(8);
  Graph graph;
  ValueId value = graph.add_input("x", DType::float32, {Dim::symbol("N"), 64, 16, 16});
  for (int i = 0; i < 2; ++i) value = add_conv(graph, rng, "conv" + std::to_string(i), value, 64, 64, {.pads = {1, 1, 1, 1}});
  graph.add_output(value);
  const plan::Plan open = plan_for(graph, 1);
  const std::int64_t weights = 2 * std::int64_t{sizeof(float)} * 64 * 64 * 9, held = plan::held_bytes(open, 1, 1);
  REQUIRE(open.packed_bytes > 2 * weights);  // F(4x4,3x3): 36 numbers for 9
  CHECK(held == plan::held_bytes(plan_for(graph, 1, {.memory_limit = held}), 1, 1));
  const plan::Plan spare = plan_for(graph, 1, {.memory_limit = held - 1});
  CHECK(spare.packed_bytes <= 2 * weights);
  CHECK(plan::held_bytes(spare, 1, 1) < held);
  const auto named = [](const plan::Candidate& c) { return c.refused.find("--memory-limit") != std::string::npos; };
  const auto says_why = [&](const plan::Plan& p) {
    return std::any_of(p.steps.begin(), p.steps.end(),
                       [&](const plan::Step& s) { return std::any_of(s.candidates.begin(), s.candidates.end(), named); });
  };
  CHECK(says_why(spare));
  CHECK(!says_why(open));
  CHECK_THROWS_WITH_AS(plan_for(graph, 1, {.memory_limit = held - 1, .arenas = 100}), doctest::Contains("packed"), Error);
}

}  // namespace
}  // namespace konv::test
