#include "tools/data/dataset.h"

#include <doctest/doctest.h>
#include <png.h>

#include "tests/tools/files.h"

using namespace konv::test;
using konv::tools::Dataset;

namespace {

std::string record(int label, char value) { return std::string(1, static_cast<char>(label)) + std::string(3072, value); }
std::string gray_png(std::uint8_t value) { return encode_png({1, 1, PNG_COLOR_TYPE_GRAY, 8, {value}}); }

}  // namespace

TEST_CASE("dataset: .bin files, alone, several, or a folder of them") {
  const TemporaryFolder folder;
  const auto a = folder.write("train/data_batch_1.bin", record(3, 10) + record(4, 11));
  const auto b = folder.write("train/data_batch_2.bin", record(5, 12));
  folder.write("train/readme.html", "not data");

  const Dataset one({a}, {});
  CHECK(one.size() == 2);
  CHECK(one.class_names().at(3) == "cat");
  CHECK(one.load(1).label == 4);
  CHECK(one.load(1).image.rgb.at(0) == 11);

  for (const Dataset& dataset : {Dataset({a, b}, {}), Dataset({folder / "train"}, {})}) {
    REQUIRE(dataset.size() == 3);
    CHECK(dataset.load(2).label == 5);
    CHECK(dataset.label(2) == 5);
    CHECK(dataset.load(2).image.rgb.at(0) == 12);
    CHECK(dataset.name(1) == a.string() + "#1");
  }
}

TEST_CASE("dataset: classes are found among the model's labels by name") {
  const TemporaryFolder folder;
  const auto bin = folder.write("a.bin", record(0, 1) + record(9, 2));
  const Dataset dataset({bin}, {"truck", "ship", "horse", "frog", "dog", "deer", "cat", "bird", "automobile", "airplane"});
  CHECK(dataset.load(0).label == 9);
  CHECK(dataset.load(1).label == 0);
  CHECK(error_of(folder,
                 [&] {
                   Dataset({bin}, {"cat", "dog"});
                 }) ==
        "a.bin: has classes that are not labels of the model: airplane, automobile, bird, deer, frog, horse, ship, truck; "
        "expected names among its 2 labels: cat, dog");
}

TEST_CASE("dataset: class folders, every class in turn") {
  const TemporaryFolder folder;
  folder.write("data/dog/b.png", gray_png(2));
  folder.write("data/dog/a.png", gray_png(1));
  folder.write("data/dog/c", gray_png(3));
  folder.write("data/cat/x.jpg", encode_jpeg({8, 8, 1, std::vector<std::uint8_t>(64, 100)}));
  folder.write("data/cat/.hidden", "");
  folder.write("data/README", "about");

  const Dataset sorted({folder / "data"}, {});
  CHECK(sorted.class_names() == std::vector<std::string>{"cat", "dog"});
  REQUIRE(sorted.size() == 4);
  CHECK(sorted.load(0).label == 0);
  CHECK(sorted.load(0).image.width == 8);
  CHECK(sorted.load(1).label == 1);
  CHECK(sorted.load(1).image.rgb.at(0) == 1);
  CHECK(sorted.load(2).image.rgb.at(0) == 2);
  CHECK(sorted.load(3).image.rgb.at(0) == 3);
  CHECK(sorted.name(3) == (folder / "data/dog/c").string());

  const Dataset labelled({folder / "data"}, {"bird", "dog", "cat"});
  CHECK(labelled.load(0).label == 2);
  CHECK(labelled.load(1).label == 1);
  CHECK(labelled.class_names().size() == 3);

  CHECK(error_of(folder, [&] {
          Dataset({folder / "data"}, {"bird", "dog"});
        }) == "data: has classes that are not labels of the model: cat; expected names among its 2 labels: bird, dog");
}

TEST_CASE("dataset: folders that are none of these are refused") {
  const TemporaryFolder folder;
  const auto why = [&](const std::string& name) { return error_of(folder, [&] { Dataset({folder / name}, {}); }); };
  folder.write("original/data_batch_1.bin", record(0, 0));
  folder.write("original/test_batch.bin", record(0, 0));
  CHECK(why("original") == "original: holds training and test batches; expected one split (name the .bin files)");
  folder.write("both/a.bin", record(0, 0));
  folder.write("both/cat/a.png", gray_png(0));
  CHECK(why("both") == "both: holds .bin files and subfolders; expected only one of them");
  folder.write("flat/a.png", gray_png(0));
  CHECK(why("flat") == "flat: holds no data; expected .bin files or one subfolder per class");
  folder.write("deep/cat/inner/a.png", gray_png(0));
  CHECK(why("deep") == "deep/cat/inner: is a folder; expected only pictures in a class folder");
  std::filesystem::create_directories(folder / "hollow/cat");
  CHECK(why("hollow") == "hollow: holds no pictures; expected some in its class folders");
  CHECK(why("none") == "none: cannot be opened (No such file or directory); expected a readable file");
  CHECK(error_of(folder, [&] {
          Dataset({folder / "flat", folder / "deep"}, {});
        }) == "flat: is one of several sources; expected one folder, or .bin files");
}
