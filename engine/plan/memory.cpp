#include "engine/plan/memory.h"

#include <algorithm>
#include <numeric>

#include <konv/error.hpp>

namespace konv::plan {
namespace {

constexpr std::int64_t kArenaLimit = std::int64_t{1} << 40;

struct Lifetime {
  int value = 0;
  int first = 0, last = 0;  // steps; -1 = before the first
};

std::vector<Lifetime> lifetimes(const Plan& plan) {
  const int end = static_cast<int>(plan.steps.size());
  std::vector<Lifetime> lives(plan.values.size(), Lifetime{0, end, -1});
  const auto touch = [&](int value, int step) {
    if (value < 0) return;
    Lifetime& life = lives[static_cast<std::size_t>(root(plan, value))];
    life.first = std::min(life.first, step);
    life.last = std::max(life.last, step);
  };
  for (int input : plan.inputs) touch(input, -1);
  for (int s = 0, next = 0; s < end; s = next) {
    for (next = s + 1; next < end && plan.steps[static_cast<std::size_t>(next)].with_previous;) ++next;
    for (int i = s; i < next; ++i) {  // the steps of a pipeline run at the same time
      const Step& step = plan.steps[static_cast<std::size_t>(i)];
      for (const int at : {s, next - 1}) {
        for (int input : step.inputs) touch(input, at);
        touch(step.output, at);
      }
    }
  }
  for (int output : plan.outputs) touch(output, end);

  std::vector<Lifetime> used;
  for (std::size_t v = 0; v < lives.size(); ++v) {
    if (plan.values[v].storage != Storage::arena || lives[v].last < lives[v].first) continue;
    lives[v].value = static_cast<int>(v);
    used.push_back(lives[v]);
  }
  return used;
}

/// Steps that read an element of an operand and write the same element of their output, in this order.
bool is_elementwise(const Work& work) {
  return std::holds_alternative<UnaryStep>(work) || std::holds_alternative<BinaryStep>(work) || std::holds_alternative<BatchNormStep>(work);
}

bool lie_alike(const Value& a, const Value& b) {
  return a.dims == b.dims && a.layout == b.layout && a.strides == b.strides && a.start == b.start && a.bytes == b.bytes;
}

/// Offsets of all arena values, greedy by size. With `apart`, values with a halo lie where at other times only values that lie alike do.
void place(Plan& plan, bool apart) {
  std::vector<Lifetime> lives = lifetimes(plan);
  const auto value = [&](const Lifetime& life) -> Value& { return plan.values[static_cast<std::size_t>(life.value)]; };
  const auto at_once = [](const Lifetime& a, const Lifetime& b) { return a.first <= b.last && b.first <= a.last; };
  const auto has_halo = [&](const Lifetime& life) { return !value(life).layout.halo.empty(); };
  std::stable_sort(lives.begin(), lives.end(), [&](const Lifetime& a, const Lifetime& b) { return value(a).bytes > value(b).bytes; });

  plan.arena_bytes = 0;
  std::vector<Lifetime> placed;  // by offset
  const auto first_gap = [&](const Lifetime& life, std::int64_t bytes) {
    std::int64_t offset = 0;
    for (const Lifetime& other : placed) {
      if (!at_once(life, other) && !(apart && (has_halo(life) || has_halo(other)))) continue;
      if (offset + bytes <= value(other).offset) break;
      offset = std::max(offset, round_up(value(other).offset + value(other).bytes, kAlignment));
    }
    return offset;
  };
  /// Where values that lie alike are, but none at the same time; -1: nowhere.
  const auto beside_alike = [&](const Lifetime& life) -> std::int64_t {
    for (const Lifetime& other : placed) {
      const std::int64_t offset = value(other).offset;
      const auto in_use = [&](const Lifetime& p) { return value(p).offset == offset && at_once(p, life); };
      if (lie_alike(value(other), value(life)) && std::none_of(placed.begin(), placed.end(), in_use)) return offset;
    }
    return -1;
  };
  for (const Lifetime& life : lives) {
    const std::int64_t bytes = round_up(value(life).bytes, kAlignment);
    std::int64_t offset = apart && has_halo(life) ? beside_alike(life) : -1;
    if (offset < 0) offset = first_gap(life, bytes);
    value(life).offset = offset;
    if (!apart && offset + bytes > kArenaLimit)
      throw Error("value '" + value(life).name + "': the network needs more than 1 TiB; expected smaller shapes");
    plan.arena_bytes = std::max(plan.arena_bytes, offset + bytes);
    const auto by_offset = [&](const Lifetime& a, const Lifetime& b) { return value(a).offset < value(b).offset; };
    placed.insert(std::upper_bound(placed.begin(), placed.end(), life, by_offset), life);
  }
}

}  // namespace

void share_slots(Plan& plan) {
  // By root: the last step that reads or writes it; outputs are read behind the end.
  const int end = static_cast<int>(plan.steps.size());
  std::vector<int> last(plan.values.size(), -1);
  const auto at = [](int i) { return static_cast<std::size_t>(i); };
  const auto touch = [&](int value, int step) {
    if (value >= 0) last[at(root(plan, value))] = step;
  };
  for (int s = 0; s < end; ++s) {
    for (int input : plan.steps[at(s)].inputs) touch(input, s);
    touch(plan.steps[at(s)].output, s);
  }
  for (int output : plan.outputs) touch(output, end);

  std::vector<bool> shared(plan.values.size(), false);
  for (int s = 0; s < end; ++s) {
    const Step& step = plan.steps[at(s)];
    Value& output = plan.values[at(step.output)];
    if (!is_elementwise(step.work) || output.storage != Storage::arena) continue;
    for (int input : step.inputs) {
      if (input < 0 || (plan.values[at(input)].storage != Storage::arena && !shared[at(input)])) continue;
      const int slot = root(plan, input);
      if (last[at(slot)] != s || !lie_alike(plan.values[at(input)], output)) continue;  // somebody needs it still, or it lies otherwise
      const bool read_elsewhere =
          std::any_of(step.inputs.begin(), step.inputs.end(), [&](int v) { return v >= 0 && v != input && root(plan, v) == slot; });
      if (read_elsewhere) continue;  // another operand reads other elements of the slot
      last[at(slot)] = last[at(step.output)];
      output.storage = Storage::view;
      output.parent = slot;
      shared[at(step.output)] = true;
      break;
    }
  }
}

Ints dense_strides(const Dims& dims) {
  Ints strides(dims.size());
  std::int64_t step = 1;
  for (std::size_t i = dims.size(); i-- > 0;) {
    strides[i] = step;
    step *= dims[i];
  }
  return strides;
}

void lay_out(Value& value) {
  const Layout& layout = value.layout;
  std::int64_t elements = 0;
  if (value.dims.size() == 2 && layout.padded_channels > value.dims[1]) {  // a matrix whose rows are padded
    value.strides = {layout.padded_channels, 1};
    value.start = 0;
    elements = value.dims[0] * layout.padded_channels;
  } else if (layout.format == Format::plain && layout.halo.empty()) {
    value.strides = dense_strides(value.dims);
    value.start = 0;
    elements = element_count(value.dims);
  } else {
    const std::int64_t block = layout.block;
    const std::int64_t row = (value.dims[3] + layout.halo.left + layout.halo.right) * block;
    const std::int64_t plane = (value.dims[2] + layout.halo.top + layout.halo.bottom) * row;
    const std::int64_t blocks = (value.dims[1] + block - 1) / block;
    value.strides = {blocks * plane, plane, row, block};
    value.start = layout.halo.top * row + layout.halo.left * block;
    elements = value.dims[0] * blocks * plane;
  }
  value.bytes = storage_bytes(layout.dtype, elements);
}

int root(const Plan& plan, int value) {
  while (plan.values[static_cast<std::size_t>(value)].storage == Storage::view) value = plan.values[static_cast<std::size_t>(value)].parent;
  return value;
}

void assign_offsets(Plan& plan, std::int64_t room_for_halos) {
  if (room_for_halos > 0) place(plan, true);
  if (room_for_halos == 0 || plan.arena_bytes > room_for_halos) place(plan, false);
}

void drop_halo_fills(Plan& plan) {
  const auto value = [&](int v) -> const Value& { return plan.values[static_cast<std::size_t>(v)]; };
  const auto overlap = [&](int a, int b) {
    return value(a).offset < value(b).offset + value(b).bytes && value(b).offset < value(a).offset + value(a).bytes;
  };
  const auto same_halo = [&](int a, int b) { return value(a).offset == value(b).offset && lie_alike(value(a), value(b)); };

  const std::vector<Lifetime> used = lifetimes(plan);
  const auto stays = [&](int v) {
    return std::none_of(used.begin(), used.end(),
                        [&](const Lifetime& other) { return overlap(v, other.value) && !same_halo(v, other.value); });
  };
  std::vector<int> filled;  // values whose halo is in the arena at this point of a run
  std::erase_if(plan.steps, [&](const Step& step) {
    const int written = root(plan, step.output);
    if (value(written).storage != Storage::arena) return false;
    const bool fill = std::holds_alternative<HaloStep>(step.work);
    const auto is_there = [&](int v) { return same_halo(v, written); };
    if (fill && std::any_of(filled.begin(), filled.end(), is_there)) return true;
    if (fill && stays(written)) {
      filled.push_back(written);
      plan.once.push_back(step);
      return true;
    }
    std::erase_if(filled, [&](int v) { return overlap(v, written) && !is_there(v); });
    if (fill) filled.push_back(written);
    return false;
  });
}

}  // namespace konv::plan
