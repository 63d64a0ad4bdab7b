// The interpreter must be able to say no: one small kernel, right, and wrong in every way that the tests of the real kernels rely on noticing.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <vector>

#include "kernels/cuda/device.h"
#include "tests/support/random.h"

namespace konv::test {
namespace {

using namespace konv::cuda;

enum class Bug {
  none,
  off_by_one,
  missing_barrier,
  missing_wait,
  missing_commit,
  wrong_fragment,
  wrong_row,
  barrier_in_branch,
  stray_barrier,
  diverging,
  reads_beyond,
  misaligned
};

struct Product {
  const Half *a, *b;  // a [64][16], b [8][16]: columns of b are rows here
  float* c;           // [64][8]
  Bug bug;
};

/// c = a b', 64 rows, one warp per 16 rows. Every warp copies rows that another warp multiplies.
void product(const Product& p) {
  KONV_SHARED(memory);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const auto at = [&](int row, int chunk) { return memory + row * 32 + ((chunk ^ (row >> 2 & 1)) * 16); };
  const int row = 63 - thread / 2, half = thread % 2;
  const int from = p.bug == Bug::off_by_one ? row + 1 : row;
  copy_async(at(row, half), p.a + from * 16 + half * 8, true);
  if (thread < 16) copy_async(at(64 + thread / 2, half), p.b + thread * 8, true);
  if (p.bug != Bug::missing_commit) commit_copies();
  if (p.bug != Bug::missing_wait) wait_copies<0>();
  if (p.bug == Bug::barrier_in_branch && thread < 4) sync_threads();
  if (p.bug != Bug::missing_barrier) sync_threads();

  std::uint32_t a[4], b[4];
  const int matrix = lane / 8;
  if (p.bug == Bug::diverging && lane == 7) return;
  const int a_row = warp * 16 + lane % 16 + (p.bug == Bug::wrong_row ? 64 : 0);
  load_matrices(a, at(a_row, lane / 16) + (p.bug == Bug::misaligned ? 8 : 0));
  load_matrices(b, at(64 + lane % 8, matrix % 2));
  if (p.bug == Bug::wrong_fragment) std::swap(a[1], a[2]);
  float c[4] = {};
  const std::uint32_t columns[2] = {b[0], b[1]};
  mma_f16(c, a, columns);
  for (int i = 0; i < 4; ++i) {
    const int out = (warp * 16 + lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2;
    store(p.c + out + (p.bug == Bug::reads_beyond ? 1 : 0), c[i]);
  }
  if (p.bug == Bug::stray_barrier && thread < 4) sync_threads();
}

struct Outcome {
  std::string failure;
  double error = 0;
  simt::Counters counters;
};

Outcome run(Bug bug, simt::Order order) {
  Rng rng(3);
  struct {  // gaps between them, so that no buffer continues in the next
    alignas(128) Half a[64 * 16];
    alignas(128) std::byte after_a[128];
    alignas(128) Half b[8 * 16];
    alignas(128) std::byte after_b[128];
    alignas(128) float c[64 * 8];
    alignas(128) std::byte after_c[128];
  } memory;
  auto& [a, after_a, b, after_b, c, after_c] = memory;
  for (Half& h : a) h.bits = float_to_half(rng.real());
  for (Half& h : b) h.bits = float_to_half(rng.real());
  std::fill(std::begin(c), std::end(c), NAN);
  simt::Options options{.order = order, .seed = 5, .count = true, .buffers = {}};
  options.buffers = {{a, sizeof a, false, "a"}, {b, sizeof b, false, "b"}, {c, sizeof c, true, "c"}};
  const Product p{a, b, c, bug};
  Outcome outcome;
  try {
    outcome.counters = simt::launch(
        {1}, {128}, (64 + 8) * 32, [&] { product(p); }, options);
  } catch (const simt::Failure& failure) {
    outcome.failure = failure.what();
    return outcome;
  }
  for (int i = 0; i < 64; ++i) {
    for (int j = 0; j < 8; ++j) {
      double sum = 0;
      for (int k = 0; k < 16; ++k) sum += static_cast<double>(to_float(a[i * 16 + k])) * static_cast<double>(to_float(b[j * 16 + k]));
      const double error = std::abs(sum - static_cast<double>(c[i * 8 + j]));
      if (!std::isnan(outcome.error) && !(error <= outcome.error)) outcome.error = error;  // NaN stays
    }
  }
  return outcome;
}

constexpr simt::Order kOrders[] = {simt::Order::forward, simt::Order::reversed, simt::Order::shuffled};

/// Is the bug noticed in every order: by a message that contains `words`, or (empty) by wrong results?
void check_caught(Bug bug, const std::string& words) {
  for (const simt::Order order : kOrders) {
    CAPTURE(static_cast<int>(order));
    const Outcome outcome = run(bug, order);
    if (words.empty()) {
      CHECK(outcome.failure.empty());
      CHECK_FALSE(outcome.error < 0.1);
    } else {
      CHECK_MESSAGE(outcome.failure.find(words) != std::string::npos, "'" << outcome.failure << "' lacks '" << words << "'");
    }
  }
}

TEST_CASE("interpreter: a right kernel is right in every order, and is counted") {
  for (const simt::Order order : kOrders) {
    const Outcome outcome = run(Bug::none, order);
    CHECK(outcome.failure == "");
    CHECK(outcome.error < 1e-6);
    CHECK(outcome.counters.blocks == 1);
    CHECK(outcome.counters.barriers == 1);
    CHECK(outcome.counters.mma == 4);
    CHECK(outcome.counters.ldmatrix == 32);
    CHECK(outcome.counters.bank_conflicts == 0);
    // 64 rows of a, 8 of b, and c: four instructions per warp, each 8 rows of 4 floats 8 bytes apart.
    CHECK(outcome.counters.global_sectors == 64 + 8 + 4 * 4 * 8);
    CHECK(outcome.counters.global_bytes == 64 * 32 + 8 * 32 + 64 * 8 * 4);
  }
}

TEST_CASE("interpreter: planted bugs are caught") {
  SUBCASE("off by one") { check_caught(Bug::off_by_one, "lies in no buffer"); }
  SUBCASE("store beyond the end") { check_caught(Bug::reads_beyond, "lies in no buffer"); }
  SUBCASE("missing barrier") { check_caught(Bug::missing_barrier, ""); }
  SUBCASE("missing wait") { check_caught(Bug::missing_wait, "copies nobody waited for"); }
  SUBCASE("missing commit") { check_caught(Bug::missing_commit, "copies nobody committed"); }
  SUBCASE("wrong fragment index") { check_caught(Bug::wrong_fragment, ""); }
  SUBCASE("row outside shared memory") { check_caught(Bug::wrong_row, "into shared memory of"); }
  SUBCASE("misaligned row") { check_caught(Bug::misaligned, "not aligned"); }
  SUBCASE("barrier in a branch") { check_caught(Bug::barrier_in_branch, "threads wait at two barriers"); }
  SUBCASE("stray barrier") { check_caught(Bug::stray_barrier, "reached by 4 of 128 threads"); }
  SUBCASE("diverging warp") { check_caught(Bug::diverging, "reached by 31 of 32 lanes"); }
}

TEST_CASE("interpreter: a wait that comes too late reads poison") {
  std::vector<float> from(4 * 32, 1.0f), to(32, 0.0f);
  simt::launch({1}, {32}, 16 * 32, [&] {
    KONV_SHARED(memory);
    const int lane = static_cast<int>(threadIdx.x);
    copy_async(memory + 16 * lane, from.data() + 4 * lane, true);
    commit_copies();
    to[static_cast<std::size_t>(lane)] = load_shared<float>(memory + 16 * lane);
    wait_copies<0>();
  });
  for (const float x : to) CHECK(std::isnan(x));
}

TEST_CASE("interpreter: a barrier missing before shared memory is written again shows in some order") {
  // Each thread writes, its right neighbour reads, then each writes again: without the second barrier early warps overwrite what late ones still read.
  const auto wrong = [](bool barrier, simt::Order order) {
    std::vector<float> out(64, -1.0f);
    simt::launch({1}, {64}, 64 * 4,
                 [&] {
                   KONV_SHARED(memory);
                   const int t = static_cast<int>(threadIdx.x), next = (t + 1) % 64;
                   store_shared(memory + 4 * t, static_cast<float>(t));
                   sync_threads();
                   out[static_cast<std::size_t>(t)] = load_shared<float>(memory + 4 * next);
                   if (barrier) sync_threads();
                   store_shared(memory + 4 * t, 1000.0f);
                 },
                 {.order = order, .seed = 2, .count = false, .buffers = {}});
    int count = 0;
    for (int t = 0; t < 64; ++t) count += out[static_cast<std::size_t>(t)] != static_cast<float>((t + 1) % 64);
    return count;
  };
  for (const simt::Order order : kOrders) {
    CHECK(wrong(true, order) == 0);
    CHECK(wrong(false, order) > 0);
  }
}

TEST_CASE("interpreter: bank conflicts are counted as the hardware serves accesses") {
  const auto conflicts = [](int stride_bytes, int bytes) {
    return simt::launch({1}, {32}, 32 * 128,
                        [&] {
                          KONV_SHARED(memory);
                          unsigned char* p = memory + static_cast<int>(threadIdx.x) * stride_bytes;
                          if (bytes == 4) store_shared(p, 1.0f);
                          if (bytes == 8) store_shared(p, Pair{});
                          if (bytes == 16) store_shared(p, Chunk{});
                        },
                        {.order = simt::Order::forward, .seed = 1, .count = true, .buffers = {}})
        .bank_conflicts;
  };
  CHECK(conflicts(4, 4) == 0);
  CHECK(conflicts(8, 4) == 1);
  CHECK(conflicts(128, 4) == 31);
  CHECK(conflicts(0, 4) == 0);  // one word for all is broadcast
  CHECK(conflicts(8, 8) == 0);
  CHECK(conflicts(16, 16) == 0);
  CHECK(conflicts(128, 16) == 4 * 7);
}

TEST_CASE("interpreter: launches that no GPU accepts are refused") {
  const auto body = [] {};
  CHECK_THROWS_AS(simt::launch({0}, {32}, 0, body), simt::Failure);
  CHECK_THROWS_AS(simt::launch({1}, {33}, 0, body), simt::Failure);
  CHECK_THROWS_AS(simt::launch({1}, {2048}, 0, body), simt::Failure);
  CHECK_THROWS_AS(simt::launch({1}, {32}, 300 << 10, body), simt::Failure);
  CHECK_THROWS_AS(simt::launch({1, 70000}, {32}, 0, body), simt::Failure);
}

TEST_CASE("interpreter: float16 and tf32 round as the GPU does") {
  for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float x = half_to_float(half);
    if (std::isnan(x)) {
      CHECK(std::isnan(half_to_float(float_to_half(x))));
    } else {
      REQUIRE(float_to_half(x) == half);
    }
  }
  CHECK(half_to_float(float_to_half(1.0f + 0x1p-11f)) == 1.0f);              // a tie, to even
  CHECK(half_to_float(float_to_half(1.0f + 0x1.8p-10f)) == 1.0f + 0x1p-9f);  // a tie, to even
  CHECK(half_to_float(float_to_half(65519.0f)) == 65504.0f);
  CHECK(std::isinf(half_to_float(float_to_half(65520.0f))));
  CHECK(half_to_float(float_to_half(0x1p-25f)) == 0.0f);
  CHECK(half_to_float(float_to_half(0x1.8p-25f)) == 0x1p-24f);
  CHECK(as_float(round_tf32(as_bits(1.0f + 0x1p-11f))) == 1.0f + 0x1p-10f);  // a tie, away from zero
  CHECK(as_float(round_tf32(as_bits(1.0f + 0x1p-12f))) == 1.0f);
}

}  // namespace
}  // namespace konv::test
