#include "converter/checkpoint/pickle.h"

#include <bit>
#include <cstring>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <konv/error.hpp>

#include "engine/base/text.h"

namespace konv::converter::pickle {
namespace {

constexpr std::size_t kMaxValues = 2'000'000;  // a checkpoint has about ten per tensor
constexpr std::size_t kMaxStack = 1'000'000;
constexpr std::size_t kMaxMemo = 2'000'000;

// Nothing is ever called, so these are harmless here; but a checkpoint that names them was made to harm somebody, and is said to be so.
constexpr std::string_view kHostileModules[] = {"os",  "posix",  "nt",     "subprocess", "commands",
                                                "pty", "shutil", "socket", "runpy",      "webbrowser"};
constexpr std::string_view kHostileBuiltins[] = {"eval", "exec", "execfile", "compile", "open", "__import__"};

bool hostile(std::string_view module, std::string_view name) {
  const std::string_view top = module.substr(0, module.find('.'));
  for (const std::string_view m : kHostileModules) {
    if (top == m) return true;
  }
  if (module != "builtins" && module != "__builtin__") return false;
  for (const std::string_view n : kHostileBuiltins) {
    if (name == n) return true;
  }
  return false;
}

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  Document read() {
    while (step()) {
    }
    document_.root = pop();
    document_.size = at_;
    return std::move(document_);
  }

 private:
  // Bytes.

  [[noreturn]] void fail(const std::string& fact) const { throw Error(fmt::format("pickle at byte {}: {}", at_, fact)); }

  std::string_view take(std::uint64_t count) {
    if (count > bytes_.size() - at_) fail("ends early; expected a whole pickle");
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + at_, static_cast<std::size_t>(count));
    at_ += static_cast<std::size_t>(count);
    return text;
  }

  std::uint64_t number(int count) {  // little endian, unsigned
    const std::string_view text = take(static_cast<std::uint64_t>(count));
    std::uint64_t value = 0;
    for (int i = count - 1; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(text[static_cast<std::size_t>(i)]);
    return value;
  }

  std::string_view line() {
    const auto* begin = reinterpret_cast<const char*>(bytes_.data()) + at_;
    const void* end = std::memchr(begin, '\n', bytes_.size() - at_);
    if (!end) fail("ends early; expected a whole pickle");
    const std::string_view text = take(static_cast<std::uint64_t>(static_cast<const char*>(end) - begin));
    ++at_;
    return text;
  }

  // Values and the stack. A mark is a null entry.

  Value* make(Kind kind) {
    if (document_.values.size() >= kMaxValues) fail(fmt::format("describes more than {} values", kMaxValues));
    Value& value = document_.values.emplace_back();
    value.kind = kind;
    return &value;
  }

  void push(Value* value) {
    if (stack_.size() >= kMaxStack) fail(fmt::format("needs a stack of more than {} values", kMaxStack));
    stack_.push_back(value);
  }

  Value* push_new(Kind kind) {
    Value* value = make(kind);
    push(value);
    return value;
  }

  void push_text(Kind kind, std::string_view text) { push_new(kind)->text = text; }

  void push_integer(std::int64_t integer) { push_new(Kind::integer)->integer = integer; }

  Value* top() {
    if (stack_.empty() || !stack_.back()) fail("takes a value from an empty stack");
    return stack_.back();
  }

  Value* pop() {
    Value* value = top();
    stack_.pop_back();
    return value;
  }

  std::vector<const Value*> pop_to_mark() {
    std::size_t begin = stack_.size();
    while (begin > 0 && stack_[begin - 1]) --begin;
    if (begin == 0) fail("lacks a mark");
    std::vector<const Value*> values(stack_.begin() + static_cast<std::ptrdiff_t>(begin), stack_.end());
    stack_.resize(begin - 1);
    return values;
  }

  void push_items(Kind kind, std::vector<const Value*> items) { push_new(kind)->items = std::move(items); }

  void push_tuple(std::size_t count) {
    std::vector<const Value*> items(count);
    for (std::size_t i = count; i-- > 0;) items[i] = pop();
    push_items(Kind::tuple, std::move(items));
  }

  void push_global(std::string_view module, std::string_view name) {
    if (hostile(module, name)) {
      fail(fmt::format("wants '{}.{}' called, as no checkpoint needs; refused, nothing was run", printable(module), printable(name)));
    }
    Value* value = push_new(Kind::global);
    value->module = module;
    value->text = name;
  }

  void push_call(const Value* callable, const Value* arguments) {
    const bool known =
        callable->is(Kind::global) || callable->is(Kind::persistent);  // legacy files name the classes of modules by persistent ids
    if (!known) fail(fmt::format("calls {}; expected a function or class", describe(*callable)));
    if (!arguments->is(Kind::tuple)) fail(fmt::format("calls {} with {}; expected a tuple", describe(*callable), describe(*arguments)));
    Value* value = push_new(Kind::object);
    value->callable = callable;
    value->arguments = arguments;
  }

  void append(Value* to, const std::vector<const Value*>& items) {
    if (!to->is(Kind::list) && !to->is(Kind::set) && !to->is(Kind::object)) fail(fmt::format("appends to {}", describe(*to)));
    to->items.insert(to->items.end(), items.begin(), items.end());
  }

  void set(Value* in, const std::vector<const Value*>& pairs) {
    if (!in->is(Kind::dict) && !in->is(Kind::object)) fail(fmt::format("sets entries of {}", describe(*in)));
    if (pairs.size() % 2 != 0) fail("sets a key without a value");
    for (std::size_t i = 0; i < pairs.size(); i += 2) in->entries.push_back({pairs[i], pairs[i + 1]});
  }

  void set_state(const Value* state) {
    Value* object = top();
    if (!object->is(Kind::object)) fail(fmt::format("sets the state of {}", describe(*object)));
    object->state = state;
  }

  void remember(std::uint64_t index) {
    if (memo_.size() >= kMaxMemo) fail(fmt::format("remembers more than {} values", kMaxMemo));
    memo_[index] = top();
  }

  void recall(std::uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) fail(fmt::format("recalls value {}, which was not remembered", index));
    push(found->second);
  }

  void push_long(std::string_view text) {
    if (text.size() > 8) return push_text(Kind::long_integer, text);
    std::uint64_t bits = 0;
    for (std::size_t i = text.size(); i-- > 0;) bits = bits << 8 | static_cast<unsigned char>(text[i]);
    const auto unused = static_cast<int>(64 - 8 * text.size());
    push_integer(text.empty() ? 0 : static_cast<std::int64_t>(bits << unused) >> unused);
  }

  void push_binary_real() {
    const std::string_view text = take(8);  // big endian
    std::uint64_t bits = 0;
    for (const char c : text) bits = bits << 8 | static_cast<unsigned char>(c);
    push_new(Kind::real)->real = std::bit_cast<double>(bits);
  }

  bool step();

  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
  Document document_;
  std::vector<Value*> stack_;
  std::unordered_map<std::uint64_t, Value*> memo_;
};

/// Executes one opcode; false after STOP.
bool Reader::step() {
  const auto code = static_cast<unsigned char>(take(1)[0]);
  switch (code) {
    case 0x80:  // PROTO
      if (const std::uint64_t protocol = number(1); protocol > 5) fail(fmt::format("is of protocol {}; expected 2 to 5", protocol));
      break;
    case 0x95: number(8); break;  // FRAME: the length matters to buffered readers only
    case '.': return false;       // STOP

    case 'N': push_new(Kind::none); break;
    case 0x88: push_new(Kind::boolean)->integer = 1; break;  // NEWTRUE
    case 0x89: push_new(Kind::boolean); break;               // NEWFALSE
    case 'J': push_integer(static_cast<std::int32_t>(number(4))); break;
    case 'K': push_integer(static_cast<std::int64_t>(number(1))); break;
    case 'M': push_integer(static_cast<std::int64_t>(number(2))); break;
    case 0x8a: push_long(take(number(1))); break;  // LONG1
    case 0x8b: push_long(take(number(4))); break;  // LONG4
    case 'G': push_binary_real(); break;

    case 'U': push_text(Kind::string, take(number(1))); break;   // SHORT_BINSTRING (Python 2)
    case 'T': push_text(Kind::string, take(number(4))); break;   // BINSTRING (Python 2)
    case 0x8c: push_text(Kind::string, take(number(1))); break;  // SHORT_BINUNICODE
    case 'X': push_text(Kind::string, take(number(4))); break;   // BINUNICODE
    case 0x8d: push_text(Kind::string, take(number(8))); break;  // BINUNICODE8
    case 'C': push_text(Kind::bytes, take(number(1))); break;    // SHORT_BINBYTES
    case 'B': push_text(Kind::bytes, take(number(4))); break;    // BINBYTES
    case 0x8e:                                                   // BINBYTES8
    case 0x96: push_text(Kind::bytes, take(number(8))); break;   // BYTEARRAY8

    case ')': push_new(Kind::tuple); break;
    case 0x85: push_tuple(1); break;
    case 0x86: push_tuple(2); break;
    case 0x87: push_tuple(3); break;
    case 't': push_items(Kind::tuple, pop_to_mark()); break;
    case ']': push_new(Kind::list); break;
    case 0x8f: push_new(Kind::set); break;
    case 0x91: push_items(Kind::set, pop_to_mark()); break;  // FROZENSET
    case 'a': {
      const Value* item = pop();
      append(top(), {item});
      break;
    }
    case 'e':     // APPENDS
    case 0x90: {  // ADDITEMS
      const std::vector<const Value*> items = pop_to_mark();
      append(top(), items);
      break;
    }
    case '}': push_new(Kind::dict); break;
    case 's': {
      const Value* value = pop();
      const Value* key = pop();
      set(top(), {key, value});
      break;
    }
    case 'u': {
      const std::vector<const Value*> pairs = pop_to_mark();
      set(top(), pairs);
      break;
    }

    case 'c': {
      const std::string_view module = line();
      push_global(module, line());
      break;
    }
    case 0x93: {  // STACK_GLOBAL
      const Value* name = pop();
      const Value* module = pop();
      if (!name->is(Kind::string) || !module->is(Kind::string)) fail("names a class by something that is no text");
      push_global(module->text, name->text);
      break;
    }
    case 'R':     // REDUCE
    case 0x81: {  // NEWOBJ
      const Value* arguments = pop();
      push_call(pop(), arguments);
      break;
    }
    case 0x92: {  // NEWOBJ_EX: keyword arguments are not kept
      pop();
      const Value* arguments = pop();
      push_call(pop(), arguments);
      break;
    }
    case 'b': set_state(pop()); break;  // BUILD
    case 'Q': {                         // BINPERSID
      const Value* id = pop();
      push_new(Kind::persistent)->arguments = id;
      break;
    }

    case '(': push(nullptr); break;
    case '0':
      if (!stack_.empty() && !stack_.back())
        stack_.pop_back();  // POP may take a mark
      else
        pop();
      break;
    case '1': pop_to_mark(); break;
    case '2': push(top()); break;
    case 'q': remember(number(1)); break;
    case 'r': remember(number(4)); break;
    case 0x94: remember(memo_.size()); break;  // MEMOIZE
    case 'h': recall(number(1)); break;
    case 'j': recall(number(4)); break;

    default: --at_; fail(fmt::format("has opcode 0x{:02x}; expected those of protocols 2 to 5, as torch.save writes them", code));
  }
  return true;
}

/// ('storage', ...), or ('module', class, source file, source) in legacy files.
std::string persistent_name(const Value& id) {
  const bool is_class = id.is(Kind::tuple) && id.items.size() > 1 && id.items[0]->text == "module" && id.items[1]->is(Kind::global);
  return is_class ? describe(*id.items[1]) : "a storage";
}

}  // namespace

std::string describe(const Value& value) {
  switch (value.kind) {
    case Kind::none: return "None";
    case Kind::boolean: return "a bool";
    case Kind::integer:
    case Kind::long_integer: return "an integer";
    case Kind::real: return "a float";
    case Kind::string: return "a text";
    case Kind::bytes: return "bytes";
    case Kind::tuple: return "a tuple";
    case Kind::list: return "a list";
    case Kind::set: return "a set";
    case Kind::dict: return "a dictionary";
    case Kind::global: return fmt::format("'{}.{}'", printable(value.module), printable(value.text));
    case Kind::object: return describe(*value.callable);
    case Kind::persistent: return persistent_name(*value.arguments);
  }
  return "a value";
}

Document read(std::span<const std::byte> bytes) { return Reader(bytes).read(); }

}  // namespace konv::converter::pickle
