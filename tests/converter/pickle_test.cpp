// Pickles made to do harm: nothing they ask for happens.
#include <doctest/doctest.h>

#include <filesystem>

#include "converter/checkpoint/pickle.h"
#include "converter/import.h"
#include "tests/converter/fixtures.h"

namespace konv::test {
namespace {

using namespace std::string_literals;

std::string read_error(const std::string& pickle) {
  return message_of([&] { converter::pickle::read({reinterpret_cast<const std::byte*>(pickle.data()), pickle.size()}); });
}

/// A short string, an integer below 256, a tuple's begin.
std::string text(const std::string& s) { return "X" + std::string(1, static_cast<char>(s.size())) + "\0\0\0"s + s; }
std::string number(int n) { return "K" + std::string(1, static_cast<char>(n)); }
std::string integers(std::initializer_list<std::int64_t> list) {
  std::string bytes = "(";
  for (const std::int64_t n : list) {
    bytes += "\x8a\x08";
    for (int i = 0; i < 8; ++i) bytes += static_cast<char>(n >> (8 * i));
  }
  return bytes + "t";
}

/// One tensor over a storage of four floats.
std::string tensor(std::int64_t offset, std::initializer_list<std::int64_t> sizes, std::initializer_list<std::int64_t> strides,
                   const std::string& storage_class = "ctorch\nFloatStorage\n") {
  std::string bytes = "ctorch._utils\n_rebuild_tensor_v2\n(";
  bytes += "(" + text("storage") + storage_class + text("0") + text("cpu") + number(4) + "NtQ";
  bytes += "\x8a\x08";
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(offset >> (8 * i));
  return bytes + integers(sizes) + integers(strides) + "\x89}tR";
}

/// A legacy checkpoint around the pickled `object`, with one storage of four floats 0, 0, 0, 0.
std::string legacy(const std::string& object) {
  const std::string magic = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."s;
  const std::string protocol = "\x80\x02M\xe9\x03."s;
  return magic + protocol + "\x80\x02}." + "\x80\x02" + object + "." + "\x80\x02](" + text("0") + "e." + "\4\0\0\0\0\0\0\0"s +
         std::string(16, '\0');
}

std::string checkpoint_error(const std::string& object) {
  const TemporaryFolder folder;
  const std::string path = folder.write("w.pt", legacy(object)).string();
  return error_of(folder, [&] { converter::read_checkpoint(path); });
}

std::string dictionary(const std::string& value) { return "}(" + text("w") + value + "u"; }

}  // namespace

TEST_CASE("pickle: a call of os.system is refused and not made") {
  const TemporaryFolder folder;
  const std::string mark = (folder / "mark").string();
  for (const std::string module : {"os", "posix", "subprocess"}) {
    const std::string call = "c" + module + "\nsystem\n(" + text("touch " + mark) + "tR";
    for (const std::string& object : {call, dictionary(call), dictionary(tensor(0, {4}, {1})) + text("x") + call + "s"}) {
      const std::string message = checkpoint_error(object);
      CHECK(contains(message, "wants '" + module + ".system' called, as no checkpoint needs; refused, nothing was run"));
    }
  }
  CHECK(contains(checkpoint_error("c__builtin__\neval\n(" + text("1") + "tR"), "'__builtin__.eval'"));
  CHECK(contains(checkpoint_error(text("builtins") + text("exec") + "\x93(" + text("1") + "tR"), "'builtins.exec'"));
  CHECK(!std::filesystem::exists(folder / "mark"));
}

TEST_CASE("pickle: unknown classes matter only where a tensor depends on them") {
  const std::string unknown = "csome.where\nMaker\n(" + text("x") + "tR";
  CHECK(checkpoint_error(dictionary(tensor(0, {4}, {1})) + text("other") + unknown + "s") == "");
  CHECK(contains(checkpoint_error(unknown), "holds a pickled object of class 'some.where.Maker'"));
  const std::string storage = "(" + text("storage") + "ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(4) + "NtQ";
  CHECK(contains(checkpoint_error(dictionary("csome.where\nMaker\n(" + storage + "tR")), "tensor 'w' is made by 'some.where.Maker'"));
  CHECK(contains(checkpoint_error(dictionary(tensor(0, {4}, {1}, "csome.where\nStorage\n"))), "storage of class 'some.where.Storage'"));
  const std::string nested = "ctorch._utils\n_rebuild_tensor_v2\n(ctorch.storage\n_load_from_bytes\n(C\1xtR" + number(0) + "))\x89}tR";
  CHECK(contains(checkpoint_error(dictionary(nested)), "was pickled by itself"));
}

TEST_CASE("pickle: views stay inside their storage") {
  CHECK(checkpoint_error(dictionary(tensor(0, {4}, {1}))) == "");
  CHECK(checkpoint_error(dictionary(tensor(1, {3}, {1}))) == "");
  CHECK(checkpoint_error(dictionary(tensor(0, {2, 2}, {1, 2}))) == "");
  CHECK(checkpoint_error(dictionary(tensor(100, {0, 5}, {1, 1}))) == "");
  CHECK(contains(checkpoint_error(dictionary(tensor(1, {4}, {1}))), "tensor 'w' reaches element 4 of storage '0', which has 4"));
  CHECK(contains(checkpoint_error(dictionary(tensor(0, {2, 2}, {3, 1}))), "reaches element 4"));
  CHECK(contains(checkpoint_error(dictionary(tensor(-1, {4}, {1}))), "expected an integer from 0 up"));
  CHECK(contains(checkpoint_error(dictionary(tensor(0, {2}, {-1}))), "expected an integer from 0 up"));
  CHECK(contains(checkpoint_error(dictionary(tensor(0, {2, 2}, {1}))), "2 sizes and 1 strides"));
  CHECK(contains(checkpoint_error(dictionary(tensor(0, {INT64_MAX}, {INT64_MAX}))), "tensor 'w'"));
  CHECK(contains(checkpoint_error(dictionary(tensor(0, {INT64_MAX, INT64_MAX}, {0, 0}))), "tensor 'w'"));
  CHECK(contains(checkpoint_error(dictionary(tensor(0, {std::int64_t{1} << 40}, {0}))), "far more bytes than the file has"));
}

TEST_CASE("pickle: broken opcodes are refused") {
  CHECK(read_error("") != "");
  CHECK(contains(read_error("\x80\x09."), "protocol 9"));
  CHECK(contains(read_error("i."), "has opcode 0x69"));
  CHECK(contains(read_error("0."), "empty stack"));
  CHECK(contains(read_error("(."), "empty stack"));
  CHECK(contains(read_error("Kt."s), "empty stack") == false);
  CHECK(contains(read_error("t."), "lacks a mark"));
  CHECK(contains(read_error("h\5."), "recalls value 5"));
  CHECK(contains(read_error("K\1K\2a."), "appends to an integer"));
  CHECK(contains(read_error("K\1K\2K\3s."), "sets entries of an integer"));
  CHECK(contains(read_error("K\1)R."), "calls an integer"));
  CHECK(contains(read_error("cm\nn\nK\1R."), "expected a tuple"));
  CHECK(contains(read_error("]K\1b."), "sets the state of a list"));
  CHECK(contains(read_error("X\xff\xff\xff\xff"
                            "abc."),
                 "ends early"));
  CHECK(contains(read_error("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
                            "abc."),
                 "ends early"));
  CHECK(contains(read_error("ctorch"), "ends early"));
  CHECK(contains(read_error("}(K\1u."), "key without a value"));
}

TEST_CASE("pickle: depth and size are bounded") {
  // A list in a list in a list ...: no recursion to overflow the stack.
  std::string deep(500'000, ']');
  deep += std::string(499'999, 'a') + ".";
  CHECK(read_error(deep) == "");
  CHECK(contains(read_error(std::string(3'000'000, ']')), "more than"));
  CHECK(contains(read_error("N" + std::string(3'000'000, '2')), "stack of more than"));
  // Each level holds the one below twice: 2^100 paths, none of which is walked.
  std::string shared = "]q";
  shared += '\0';
  for (int i = 1; i < 100; ++i)
    shared += "](h" + std::string(1, static_cast<char>(i - 1)) + "h" + std::string(1, static_cast<char>(i - 1)) + "eq" +
              std::string(1, static_cast<char>(i));
  CHECK(contains(checkpoint_error(shared), "holds a list"));
  // A dictionary in itself.
  CHECK(contains(checkpoint_error("}q\1(" + text("model") + "h\1u"), "holds no tensors"));
}

TEST_CASE("pickle: integers, floats and texts") {
  const auto read = [](const std::string& pickle) {
    return converter::pickle::read({reinterpret_cast<const std::byte*>(pickle.data()), pickle.size()});
  };
  CHECK(read("J\xff\xff\xff\xff."s).root->integer == -1);
  CHECK(read("M\x34\x12."s).root->integer == 0x1234);
  CHECK(read("\x8a\x00."s).root->integer == 0);
  CHECK(read("\x8a\x01\x80."s).root->integer == -128);
  CHECK(read("\x8a\x02\x80\x00."s).root->integer == 128);
  CHECK(read("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f."s).root->integer == INT64_MAX);
  CHECK(read("G\x3f\xf8\0\0\0\0\0\0."s).root->real == 1.5);
  const std::string two = "N.rest"s;
  CHECK(read(two).size == 2);
}

}  // namespace konv::test
