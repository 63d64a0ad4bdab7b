#include "converter/checkpoint/tensors.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <konv/error.hpp>

#include "engine/base/checked.h"
#include "engine/base/text.h"

namespace konv::converter {
namespace {

using pickle::Kind;
using pickle::Value;

constexpr std::size_t kMaxTensorRank = 64;

struct StorageClass {
  std::string_view name;
  DType dtype;
};

constexpr StorageClass kStorageClasses[] = {
    {"FloatStorage", DType::float32},     {"DoubleStorage", DType::float64}, {"HalfStorage", DType::float16},
    {"BFloat16Storage", DType::bfloat16}, {"LongStorage", DType::int64},     {"IntStorage", DType::int32},
    {"ShortStorage", DType::int16},       {"CharStorage", DType::int8},      {"ByteStorage", DType::uint8},
    {"BoolStorage", DType::boolean},      {"UntypedStorage", DType::uint8},
};

// torch.uint16 and so on: what _rebuild_tensor_v3 is handed beside an untyped storage.
constexpr StorageClass kTorchTypes[] = {
    {"float32", DType::float32}, {"float64", DType::float64}, {"float16", DType::float16}, {"bfloat16", DType::bfloat16},
    {"int64", DType::int64},     {"int32", DType::int32},     {"int16", DType::int16},     {"int8", DType::int8},
    {"uint64", DType::uint64},   {"uint32", DType::uint32},   {"uint16", DType::uint16},   {"uint8", DType::uint8},
    {"bool", DType::boolean},
};

bool in_torch(std::string_view module) { return module == "torch" || module == "torch.cuda" || module == "torch.storage"; }

std::int64_t integer(const Value& value, const char* what) {
  if (!value.is(Kind::integer) || value.integer < 0)
    throw Error(fmt::format("{} is {}; expected an integer from 0 up", what, describe(value)));
  return value.integer;
}

Dims integers(const Value& value, const char* what) {
  // torch.Size pickles as a call with one tuple.
  if (value.is_call_of("torch", "Size") && value.arguments->items.size() == 1) return integers(*value.arguments->items[0], what);
  if (!value.is(Kind::tuple) && !value.is(Kind::list))
    throw Error(fmt::format("{} are {}; expected a tuple of integers", what, describe(value)));
  if (value.items.size() > kMaxTensorRank)
    throw Error(fmt::format("has {} dimensions; expected {} at most", value.items.size(), kMaxTensorRank));
  Dims result;
  for (const Value* item : value.items) result.push_back(integer(*item, what));
  return result;
}

/// A tensor as torch saw it: a strided window into a storage, in elements of `dtype`.
struct View {
  const Value* storage = nullptr;
  std::optional<DType> dtype;  ///< the storage's unless given
  std::int64_t offset = 0;
  Dims sizes, strides;
};

/// Elements that a storage must hold for a non-empty view.
std::int64_t elements_reached(const View& view) {
  std::int64_t last = view.offset;
  for (std::size_t i = 0; i < view.sizes.size(); ++i) last = checked_add(last, checked_mul(view.sizes[i] - 1, view.strides[i]));
  return checked_add(last, 1);
}

bool contiguous(const View& view) {
  std::int64_t expected = 1;
  for (std::size_t i = view.sizes.size(); i-- > 0;) {
    if (view.sizes[i] != 1 && view.strides[i] != expected) return false;
    expected *= view.sizes[i];
  }
  return true;
}

void gather(const View& view, std::size_t width, const std::byte* from, std::byte* to) {
  const std::size_t rank = view.sizes.size();
  Dims index(rank, 0);
  std::int64_t at = 0;
  for (;;) {
    std::memcpy(to, from + static_cast<std::size_t>(at) * width, width);
    to += width;
    std::size_t d = rank;
    while (d-- > 0) {
      at += view.strides[d];
      if (++index[d] < view.sizes[d]) break;
      at -= view.strides[d] * view.sizes[d];
      index[d] = 0;
    }
    if (d == static_cast<std::size_t>(-1)) return;
  }
}

class Collector {
 public:
  Collector(const ReadStorage& read_storage, std::int64_t byte_limit) : read_storage_(read_storage), bytes_left_(byte_limit) {}

  /// Nothing when `value` is no tensor and depends on none.
  std::optional<Tensor> tensor(const Value& value) {
    const std::optional<View> view = as_view(value, 0);
    if (view) return materialize(*view);
    if (value.is(Kind::object) && holds_storage(*value.arguments)) {
      throw Error(fmt::format("is made by {}; expected torch._utils._rebuild_tensor_v2 or its like", describe(value)));
    }
    return {};
  }

  static bool looks_like_tensor(const Value& value) {
    return value.is(Kind::object) && (is_rebuild(*value.callable) || holds_storage(*value.arguments));
  }

 private:
  static bool is_rebuild(const Value& callable) {
    return callable.is(Kind::global) && (callable.module == "torch._utils" || callable.module == "torch._tensor") &&
           callable.text.starts_with("_rebuild_");
  }

  static bool holds_storage(const Value& arguments) {
    for (const Value* argument : arguments.items) {
      if (argument->is(Kind::persistent) || argument->is_call_of("torch.storage", "_load_from_bytes")) return true;
    }
    return false;
  }

  static const Value& argument(const Value& call, std::size_t i) {
    if (i >= call.arguments->items.size()) {
      throw Error(fmt::format("calls {} with {} arguments; expected at least {}", describe(call), call.arguments->items.size(), i + 1));
    }
    return *call.arguments->items[i];
  }

  static std::optional<View> as_view(const Value& value, int depth) {
    if (!value.is(Kind::object)) return {};
    if (depth > 4) throw Error("is wrapped more than 4 times");
    if (value.is_call_of("torch._utils", "_rebuild_parameter") || value.is_call_of("torch._utils", "_rebuild_parameter_with_state")) {
      return as_view(argument(value, 0), depth + 1);
    }
    if (value.is_call_of("torch._tensor", "_rebuild_from_type_v2")) {  // (function, type, arguments, state)
      Value inner = value;
      inner.callable = &argument(value, 0);
      inner.arguments = &argument(value, 2);
      if (!inner.callable->is(Kind::global) || !inner.arguments->is(Kind::tuple))
        throw Error("is rebuilt from something else than a tensor");
      return as_view(inner, depth + 1);
    }
    const bool v3 = value.is_call_of("torch._utils", "_rebuild_tensor_v3");
    if (!v3 && !value.is_call_of("torch._utils", "_rebuild_tensor_v2") && !value.is_call_of("torch._utils", "_rebuild_tensor")) return {};

    View view;
    view.storage = &argument(value, 0);
    view.offset = integer(argument(value, 1), "the storage offset");
    view.sizes = integers(argument(value, 2), "the sizes");
    view.strides = integers(argument(value, 3), "the strides");
    if (view.sizes.size() != view.strides.size())
      throw Error(fmt::format("has {} sizes and {} strides", view.sizes.size(), view.strides.size()));
    if (v3) view.dtype = torch_type(argument(value, 6));
    return view;
  }

  static DType torch_type(const Value& value) {
    for (const StorageClass& type : kTorchTypes) {
      if (value.is_global("torch", type.name)) return type.dtype;
    }
    throw Error(fmt::format("has element type {}; expected a float, integer or bool type", describe(value)));
  }

  struct Storage {
    StorageId id;
    std::shared_ptr<const std::byte> bytes;
  };

  const Storage& storage(const Value& value) {
    if (value.is_call_of("torch.storage", "_load_from_bytes")) {
      throw Error("was pickled by itself; expected a file written by torch.save");
    }
    if (!value.is(Kind::persistent)) throw Error(fmt::format("lies in {}; expected a storage", describe(value)));
    const StorageId id = storage_id(value);
    auto found = storages_.find(id.key);
    if (found == storages_.end()) {
      reserve(storage_bytes(id.dtype, id.count));
      found = storages_.emplace(id.key, Storage{id, read_storage_(id)}).first;
    }
    if (storage_bytes(found->second.id.dtype, found->second.id.count) != storage_bytes(id.dtype, id.count)) {
      throw Error(fmt::format("lies in storage '{}', which is told to have two sizes", printable(id.key)));
    }
    return found->second;
  }

  void reserve(std::int64_t size) {
    if (size > bytes_left_) throw Error("would unfold to far more bytes than the file has; refused");
    bytes_left_ -= size;
  }

  Tensor materialize(const View& view) {
    const Storage& from = storage(*view.storage);
    const DType dtype = view.dtype.value_or(storage_id(*view.storage).dtype);
    const auto width = static_cast<std::int64_t>(bits(dtype)) / 8;
    const std::int64_t available = storage_bytes(from.id.dtype, from.id.count) / width;
    const std::int64_t count = element_count(view.sizes);
    if (count == 0) return MutableTensor(dtype, view.sizes);
    if (const std::int64_t reached = elements_reached(view); reached > available) {
      throw Error(fmt::format("reaches element {} of storage '{}', which has {}", reached - 1, printable(from.id.key), available));
    }
    const std::byte* begin = from.bytes.get() + view.offset * width;
    if (contiguous(view) && (view.offset * width) % 16 == 0) {  // shares the storage
      return Tensor{dtype, view.sizes, std::shared_ptr<const std::byte>(from.bytes, begin)};
    }
    if (count > bytes_left_) throw Error("would unfold to far more bytes than the file has; refused");
    reserve(count * width);
    MutableTensor tensor(dtype, view.sizes);
    gather(view, static_cast<std::size_t>(width), begin, tensor.bytes.get());
    return tensor;
  }

  const ReadStorage& read_storage_;
  std::int64_t bytes_left_;
  std::map<std::string, Storage, std::less<>> storages_;
};

// Where trainers put the weights, best first: a moving average is what is meant to be used.
constexpr std::string_view kNests[] = {"ema",    "model_ema", "state_dict_ema", "state_dict", "model_state_dict", "model_state", "model",
                                       "module", "net",       "network",        "params",     "weights"};

bool is_dictionary(const Value& value) {
  return value.is(Kind::dict) || value.is_call_of("collections", "OrderedDict") || value.is_call_of("collections", "defaultdict");
}

const Value* find(const Value& dictionary, std::string_view key) {
  const Value* found = nullptr;
  for (const pickle::Entry& entry : dictionary.entries) {
    if (entry.key->is(Kind::string) && entry.key->text == key) found = entry.value;
  }
  return found;
}

bool has_tensors(const Value& dictionary) {
  return std::any_of(dictionary.entries.begin(), dictionary.entries.end(),
                     [](const pickle::Entry& entry) { return Collector::looks_like_tensor(*entry.value); });
}

[[noreturn]] void refuse_module(const Value& object) {
  throw Error(
      fmt::format("holds a pickled {}, whose code konv cannot run; expected a dictionary of tensors: "
                  "save it with torch.save(model.state_dict(), ...)",
                  object.is(Kind::persistent) ? "module" : "object of class " + describe(object)));
}

/// The dictionary that holds the tensors: `value` itself or where well-known names lead from it. Notes a whole module met on the way.
const Value* find_tensors(const Value& value, int depth, const Value*& module) {
  constexpr int kDeepest = 3;
  if (!is_dictionary(value)) {
    const bool code = value.is(Kind::persistent) || (value.is(Kind::object) && !Collector::looks_like_tensor(value));
    if (code && !module) module = &value;
    return nullptr;
  }
  if (has_tensors(value)) return &value;
  if (depth == kDeepest) return nullptr;
  for (const std::string_view nest : kNests) {
    const Value* inside = find(value, nest);
    const Value* found = inside ? find_tensors(*inside, depth + 1, module) : nullptr;
    if (found) return found;
  }
  return nullptr;
}

const Value& state_dict(const Value& root) {
  const Value* module = nullptr;
  if (const Value* found = find_tensors(root, 0, module)) return *found;
  if (module) refuse_module(*module);
  if (!is_dictionary(root)) throw Error(fmt::format("holds {}; expected a dictionary of tensors", describe(root)));
  throw Error("holds no tensors; expected a state dict, by itself or under 'state_dict', 'model', 'net' or 'ema'");
}

}  // namespace

StorageId storage_id(const Value& persistent) {
  const Value& id = *persistent.arguments;
  if (!id.is(Kind::tuple) || id.items.empty() || !id.items[0]->is(Kind::string)) throw Error("has a persistent id that konv does not know");
  if (id.items[0]->text == "module") throw Error("belongs to a pickled module; expected a state dict: save model.state_dict()");
  if (id.items[0]->text != "storage" || id.items.size() < 5 || !id.items[2]->is(Kind::string)) {
    throw Error(fmt::format("has a persistent id '{}' that konv does not know; expected 'storage'", printable(id.items[0]->text)));
  }
  if (id.items.size() > 5 && !id.items[5]->is(Kind::none))
    throw Error("lies in a view of a storage, as PyTorch 0.3 wrote it; expected a newer file");
  StorageId result{std::string(id.items[2]->text), DType::uint8, integer(*id.items[4], "the size of a storage")};
  const Value& type = *id.items[1];
  const auto known =
      std::find_if(std::begin(kStorageClasses), std::end(kStorageClasses), [&](const StorageClass& c) { return type.text == c.name; });
  if (!type.is(Kind::global) || !in_torch(type.module) || known == std::end(kStorageClasses)) {
    throw Error(
        fmt::format("lies in a storage of class {}; expected torch.FloatStorage or another float, integer or bool one", describe(type)));
  }
  result.dtype = known->dtype;
  checked_mul(result.count, 64);  // sizes in bytes fit from here on
  return result;
}

std::int64_t unfolding_limit(std::size_t file_size) {
  constexpr std::int64_t kAlways = std::int64_t{64} << 20;
  return std::max(kAlways, static_cast<std::int64_t>(std::min<std::size_t>(file_size, std::size_t{1} << 60)) * 3);
}

models::StateDict collect_tensors(const Value& root, const ReadStorage& read_storage, std::int64_t byte_limit) {
  const Value& dictionary = state_dict(root);
  Collector collector(read_storage, byte_limit);
  models::StateDict tensors;
  for (const pickle::Entry& entry : dictionary.entries) {
    if (!entry.key->is(Kind::string)) continue;
    const std::string_view name = parameter_name(entry.key->text);
    if (name.empty()) continue;
    try {
      if (std::optional<Tensor> tensor = collector.tensor(*entry.value)) tensors.insert_or_assign(std::string(name), *std::move(tensor));
    } catch (const Error& error) {
      throw Error(fmt::format("tensor '{}' {}", printable(entry.key->text), error.what()));
    }
  }
  return tensors;
}

std::string_view parameter_name(std::string_view name) {
  for (bool again = true; again;) {
    again = false;
    for (const std::string_view prefix : {std::string_view("module."), std::string_view("_orig_mod.")}) {
      if (!name.starts_with(prefix)) continue;
      name.remove_prefix(prefix.size());
      again = true;
    }
  }
  if (name == "num_batches_tracked" || name.ends_with(".num_batches_tracked")) return {};
  return name;
}

}  // namespace konv::converter
