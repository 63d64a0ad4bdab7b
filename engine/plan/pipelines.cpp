#include "engine/plan/pipelines.h"

#include <algorithm>

#include "engine/plan/memory.h"

namespace konv::plan {
namespace {

/// Rows of a pipeline's last output that are computed at a time, at most: beginnings and ends of rows cost little then.
constexpr std::int64_t kMostRows = 8;

class Joiner {
 public:
  Joiner(Plan& plan, const Machine& machine, const Options& options) : plan_(plan), machine_(machine), options_(options) {
    readers_.resize(plan.values.size());
    for (const Step& step : plan.steps) {
      for (const int v : step.inputs) read(v);
    }
    for (const int v : plan.outputs) read(v);
    for (const Value& value : plan.values) read(value.parent);
  }

  void join() {
    for (std::size_t first = 0; first < plan_.steps.size();) {
      std::size_t end = first + 1;
      while (end < plan_.steps.size() && end - first < kMostStages && follows(end)) ++end;
      while (end > first + 1 && !settle(first, end)) --end;
      first = end;
    }
  }

 private:
  void read(int value) {
    if (value >= 0) ++readers_[static_cast<std::size_t>(value)];
  }
  Value& value(int v) { return plan_.values[static_cast<std::size_t>(v)]; }

  static const ConvShape& shape(const Step& step) { return std::get<ConvStep>(step.work).shape; }

  const ConvCode* code(const Step& step) const {
    const auto found = std::find_if(options_.conv_kernels.begin(), options_.conv_kernels.end(),
                                    [&](const ConvKernel& k) { return step.kernel == k.name; });
    return found == options_.conv_kernels.end() ? nullptr : found->code;
  }

  /// A convolution on blocked images whose output rows depend on few rows of the input.
  bool takes_rows(const Step& step) const {
    if (!std::holds_alternative<ConvStep>(step.work)) return false;
    const ConvShape& s = shape(step);
    const bool pointwise = s.kernel_h == 1 && s.kernel_w == 1 && s.stride_h == 1 && s.stride_w == 1 && s.groups == 1 && !s.pad_top &&
                           !s.pad_left && !s.pad_bottom && !s.pad_right;
    const bool depthwise = s.groups == s.in_channels && s.groups == s.out_channels && s.groups > 1;
    const ConvCode* c = code(step);
    return (pointwise || depthwise) && c && c->in_block > 1 && c->in_block == c->out_block;
  }

  bool follows(std::size_t i) {
    const Step &before = plan_.steps[i - 1], &step = plan_.steps[i];
    if (!takes_rows(before) || !takes_rows(step) || before.inputs[Conv::kResidual] >= 0) return false;
    const int between = before.output;
    if (step.inputs[Conv::kInput] != between || readers_[static_cast<std::size_t>(between)] != 1) return false;
    const Value& v = value(between);
    return v.storage == Storage::arena && v.dims.size() == 4 && v.layout.format == Format::blocked &&
           v.bytes / v.dims[0] > machine_.l2_bytes;
  }

  /// Bands for steps [first, end), or false where not even one row at a time fits.
  bool settle(std::size_t first, std::size_t end) {
    const std::int64_t out_h = shape(plan_.steps[end - 1]).out_h();
    for (std::int64_t rows = std::min(out_h, kMostRows); rows > 0; --rows) {
      const std::vector<std::int64_t> held = rows_held(first, end, rows);
      std::int64_t bytes = 0;
      for (std::size_t i = first; i + 1 < end; ++i) bytes += band(plan_.steps[i].output, held[i - first]).bytes;
      if (bytes > machine_.l2_bytes / 2) continue;
      apply(first, end, rows, held);
      return true;
    }
    return false;
  }

  /// Rows of each output but the last that lie in a band while `rows` rows of the last output are computed.
  std::vector<std::int64_t> rows_held(std::size_t first, std::size_t end, std::int64_t rows) const {
    std::vector<std::int64_t> held(end - first, rows);
    for (std::size_t i = end - 1; i > first; --i) held[i - 1 - first] = rows_read(shape(plan_.steps[i]), {0, held[i - first]}).size();
    return held;
  }

  /// A value of one image and `rows` rows, halo rows among them.
  Value band(int v, std::int64_t rows) {
    Value value = this->value(v);
    value.dims = {1, value.dims[1], rows, value.dims[3]};
    value.layout.halo.top = value.layout.halo.bottom = 0;
    lay_out(value);
    return value;
  }

  void apply(std::size_t first, std::size_t end, std::int64_t rows, const std::vector<std::int64_t>& held) {
    Step& head = plan_.steps[first];
    head.rows_at_once = rows;
    std::int64_t bands = 0, workspace = 0;
    for (std::size_t i = first; i < end; ++i) {
      Step& step = plan_.steps[i];
      step.with_previous = i > first;
      step.far_weights = false;  // few, and they pass for every few rows
      workspace = std::max(workspace, stage_workspace(step, held[i - first]));
      if (i + 1 == end) break;
      const Value laid = band(step.output, held[i - first]);
      Value& between = value(step.output);
      between.storage = Storage::band;
      between.strides = laid.strides;
      between.start = laid.start;
      between.bytes = laid.bytes;
      between.offset = bands;
      bands += round_up(laid.bytes, kAlignment);
    }
    const ConvShape& last = shape(plan_.steps[end - 1]);
    for (std::size_t i = first; i < end; ++i) plan_.steps[i].chunks = 0, plan_.steps[i].workspace = 0;
    head.chunks = last.batch * ceil_div(last.out_h(), pipeline_chunk_rows(last.out_h()));
    head.workspace = bands + workspace;
  }

  /// The most that its kernel asks for any number of rows up to `rows`.
  std::int64_t stage_workspace(const Step& step, std::int64_t rows) const {
    const ConvCode& c = *code(step);
    std::int64_t most = 0;
    for (std::int64_t r = 1; r <= rows; ++r) {
      const ConvShape s = band_shape(shape(step), {0, r}, rows_read(shape(step), {0, r}));
      most = std::max(most, static_cast<std::int64_t>(c.alone.run ? c.alone.workspace(s) : c.workspace(s)));
    }
    return most;
  }

  Plan& plan_;
  const Machine& machine_;
  const Options& options_;
  std::vector<int> readers_;  // by value: steps, outputs and views
};

}  // namespace

Range rows_read(const ConvShape& s, Range out) {
  return {out.begin * s.stride_h - s.pad_top, (out.end - 1) * s.stride_h - s.pad_top + s.dilation_h * (s.kernel_h - 1) + 1};
}

ConvShape band_shape(const ConvShape& shape, Range out, Range there) {
  const Range read = rows_read(shape, out), present{std::max(read.begin, there.begin), std::min(read.end, there.end)};
  ConvShape s = shape;
  s.batch = 1;
  s.in_h = present.size();
  s.pad_top = present.begin - read.begin;
  s.pad_bottom = read.end - present.end;
  return s;
}

std::int64_t pipeline_chunk_rows(std::int64_t out_h) { return std::max<std::int64_t>(14, ceil_div(out_h, 4)); }

void join_pipelines(Plan& plan, const Machine& machine, const Options& options) {
  if (options.pipelines) Joiner(plan, machine, options).join();
}

}  // namespace konv::plan
