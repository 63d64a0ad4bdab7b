// Files are untrusted bytes: whatever they hold, loading gives a verified graph or one konv::Error.
#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include <konv/error.hpp>

#include "engine/base/aligned.h"
#include "engine/format/format.h"
#include "tests/support/random_graph.h"

namespace konv::test {
namespace {

namespace fs = std::filesystem;

Graph sample() {
  Rng rng(1);
  Graph graph = residual_block(rng, 4, 8, 2);
  verify(graph);
  graph.metadata.labels = {"cat", "ship"};
  graph.metadata.source = "random";
  graph.metadata.preprocessing = Preprocessing{8, 8, 0.5f, {0.1f, 0.2f, 0.3f, 0.4f}, {1, 2, 3, 4}, true};
  graph.metadata.passes = {"fold-batch-norm"};
  graph.metadata.entries = {{"seed", "7"}};
  return graph;
}

Graph load(const std::vector<std::byte>& bytes, std::size_t size) {
  const std::shared_ptr<std::byte> copy = aligned_bytes(static_cast<std::int64_t>(size));
  std::memcpy(copy.get(), bytes.data(), size);
  return format::load(copy, size, "sample.konv");
}

fs::path folder() {
  const fs::path path = fs::temp_directory_path() / "konv-format-test";
  fs::create_directories(path);
  return path;
}

TEST_CASE("a graph comes back as it was saved") {
  const Graph graph = sample();
  const fs::path file = folder() / "sample.konv";
  format::save(graph, file.string());
  const Graph back = format::load(file.string());
  CHECK(back.metadata.labels == graph.metadata.labels);
  CHECK(back.metadata.passes == graph.metadata.passes);
  CHECK(back.metadata.entries == graph.metadata.entries);
  CHECK(back.metadata.preprocessing->std == graph.metadata.preprocessing->std);
  CHECK(back.metadata.preprocessing->bgr);
  CHECK(format::serialize(back) == format::serialize(graph));
  for (int v = 0; v < back.value_count(); ++v) {
    const Tensor* constant = back.constant({v});
    if (!constant) continue;
    CHECK(reinterpret_cast<std::uintptr_t>(constant->bytes.get()) % 64 == 0);
    const Tensor* original = graph.constant(*graph.find_value(back.value({v}).name));
    REQUIRE(original);
    CHECK(std::memcmp(original->bytes.get(), constant->bytes.get(), static_cast<std::size_t>(constant->size_bytes())) == 0);
  }
  fs::remove_all(folder());
}

TEST_CASE("constants that are alike are stored once") {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {1, 1000});
  const std::vector<float> ones(1000, 1.0f);
  const ValueId a = graph.add_constant("a", make_f32({1, 1000}, ones)), b = graph.add_constant("b", make_f32({1, 1000}, ones));
  graph.add_output(graph.add("second", Binary{}, {graph.add("first", Binary{}, {x, a}), b}));
  verify(graph);
  CHECK(format::serialize(graph).size() < 7000);
}

TEST_CASE("a file cut at any 64th byte is refused") {
  const std::vector<std::byte> bytes = format::serialize(sample());
  for (std::size_t size = 0; size < bytes.size(); size += 64) {
    CAPTURE(size);
    CHECK_THROWS_AS(load(bytes, size), Error);
  }
  CHECK_THROWS_AS(load(bytes, bytes.size() - 1), Error);
}

TEST_CASE("flipped bits give a valid graph or an error") {
  const std::vector<std::byte> bytes = format::serialize(sample());
  Rng rng(2);
  int refused = 0, loaded = 0;
  for (int i = 0; i < 6000; ++i) {
    std::vector<std::byte> flipped = bytes;
    // Most of the file is weights, where every bit is fine: aim at the part before them, too.
    const std::size_t range = i % 2 ? flipped.size() : std::min<std::size_t>(flipped.size(), 6000);
    for (int k = 0; k <= i % 3; ++k) {
      const auto at = static_cast<std::size_t>(rng.integer(0, static_cast<std::int64_t>(range) - 1));
      flipped[at] ^= static_cast<std::byte>(1 << rng.integer(0, 7));
    }
    try {
      const Graph graph = load(flipped, flipped.size());
      format::serialize(graph);
      ++loaded;
    } catch (const Error& e) {
      CHECK(std::string(e.what()).find("sample.konv") != std::string::npos);
      ++refused;
    }
  }
  CHECK(refused > 500);
  CHECK(loaded > 500);
}

TEST_CASE("other files are called by their name") {
  for (const char* text : {"PK\x03\x04 a zip archive of some length", "hello, this is plain text and no model at all", ""}) {
    std::vector<std::byte> bytes(std::strlen(text));
    std::memcpy(bytes.data(), text, bytes.size());
    CHECK_THROWS_WITH_AS(load(bytes, bytes.size()), doctest::Contains("sample.konv: "), Error);
  }
  CHECK_THROWS_AS(format::load("/no/such/file.konv"), Error);
}

TEST_CASE("a failed save leaves nothing behind") {
  const fs::path missing = folder() / "missing" / "x.konv";
  CHECK_THROWS_WITH_AS(format::save(sample(), missing.string()), doctest::Contains("x.konv"), Error);
  CHECK_FALSE(fs::exists(missing.parent_path()));
  fs::create_directories(folder() / "taken.konv" / "inside");  // a folder stands where the file should go
  CHECK_THROWS_AS(format::save(sample(), (folder() / "taken.konv").string()), Error);
  int files = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder())) files += entry.is_regular_file();
  CHECK(files == 0);
  fs::remove_all(folder());
}

}  // namespace
}  // namespace konv::test
