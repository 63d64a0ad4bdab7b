// A pickle as data. The interpreter builds the values that a pickle describes and executes nothing: a class or function is its name, a call of
// it is a record of the name and the arguments. Who reads the document decides which names mean something.
//
// Opcodes: protocols 2 to 5 (Python's Lib/pickletools.py), without the text forms of protocol 0 and the extension registry.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace konv::converter::pickle {

enum class Kind : std::uint8_t {
  none,
  boolean,
  integer,
  long_integer,  // more than 8 bytes: `text` holds them, little endian
  real,
  string,
  bytes,
  tuple,
  list,
  set,
  dict,
  global,      // `module` `text`
  object,      // what calling `callable` with `arguments` would give, `state` set on it, `items` appended, `entries` put in
  persistent,  // something stored outside the pickle, named by `arguments`
};

struct Value;

struct Entry {
  const Value* key;
  const Value* value;
};

/// Values belong to their Document and refer to each other freely: shared and cyclic structures are possible.
struct Value {
  Kind kind = Kind::none;
  std::int64_t integer = 0;  ///< boolean, integer
  double real = 0;
  std::string_view text;             ///< string, bytes, long_integer; the name of a global
  std::string_view module;           ///< global
  std::vector<const Value*> items;   ///< tuple, list, set, object
  std::vector<Entry> entries;        ///< dict, object; in the order of the pickle, keys may repeat (the last one counts)
  const Value* callable = nullptr;   ///< object
  const Value* arguments = nullptr;  ///< object: a tuple; persistent: anything
  const Value* state = nullptr;      ///< object

  bool is(Kind k) const { return kind == k; }
  /// A global of this name: is_global("collections", "OrderedDict").
  bool is_global(std::string_view in, std::string_view name) const { return kind == Kind::global && module == in && text == name; }
  /// A call of that global.
  bool is_call_of(std::string_view in, std::string_view name) const { return kind == Kind::object && callable->is_global(in, name); }
};

/// "collections.OrderedDict" for globals and calls, else the kind: "a list".
std::string describe(const Value& value);

struct Document {
  std::deque<Value> values;  ///< texts point into the bytes that were read
  const Value* root = nullptr;
  std::size_t size = 0;  ///< bytes up to and including STOP
};

/// Reads one pickle from the front of `bytes`, which the document's texts point into. Throws konv::Error, without a file's name, for anything
/// that is no pickle, for calls that no checkpoint needs (os.system, eval, ...), and beyond fixed limits of values, stack and memo.
Document read(std::span<const std::byte> bytes);

}  // namespace konv::converter::pickle
