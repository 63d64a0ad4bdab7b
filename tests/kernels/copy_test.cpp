// Data movement: exact, for every size of element.
#include "kernels/cpu/copy/copy.h"

#include "kernels/base/layout.h"
#include "kernels/cpu/gather/gather.h"
#include "tests/kernels/harness.h"

namespace konv::test {
namespace {

template <class T>
std::vector<T> random_elements(std::int64_t count, Rng& rng) {
  std::vector<T> v(static_cast<std::size_t>(count));
  for (T& x : v) x = static_cast<T>(rng.bits());
  return v;
}

/// Calls f with a value of each element type.
template <class F>
void for_each_element(const F& f) {
  f(std::uint8_t{}, DType::uint8);
  f(std::uint16_t{}, DType::uint16);
  f(std::uint32_t{}, DType::uint32);
  f(std::uint64_t{}, DType::uint64);
}

template <class T>
T element(const TensorView& v, std::int64_t flat) {
  std::int64_t offset = 0;
  for (int d = v.rank - 1; d >= 0; flat /= v.dims[d--]) offset += flat % v.dims[d] * v.strides[d];
  return static_cast<const T*>(v.data)[offset];
}

TEST_CASE("every copy moves blocks of lanes between images of any halo and stride") {
  for_each_kernel(copy_kernels(), [](const CopyKernel& kernel) {
    for_each_element([&](auto type, DType) {
      using T = decltype(type);
      for (std::int64_t lanes = 1; lanes <= 64; lanes *= 2) {
        CAPTURE(lanes);
        Rng rng(static_cast<std::uint64_t>(lanes));
        const std::int64_t rows = rng.integer(2, 6), columns = rng.integer(3, 9), stride = rng.integer(1, 2);
        const std::int64_t in_row = (columns * stride + 3) * lanes, out_row = (columns + 2) * lanes;
        const std::vector<T> in = random_elements<T>(rows * stride * in_row, rng), before = random_elements<T>((rows + 1) * out_row, rng);
        std::vector<T> out = before;
        TensorView from{const_cast<T*>(in.data())}, to{out.data() + out_row + lanes};
        from.rank = to.rank = 3;
        const std::int64_t dims[] = {rows, columns, lanes}, in_strides[] = {stride * in_row, stride * lanes, 1},
                           out_strides[] = {out_row, lanes, 1};
        for (int d = 0; d < 3; ++d) {
          from.dims[d] = to.dims[d] = dims[d];
          from.strides[d] = in_strides[d], to.strides[d] = out_strides[d];
        }
        CopyArgs args{{rows * columns * lanes, sizeof(T)}, from, to};
        CHECK(run_chunks(*kernel.code, args, Order::backward));
        std::vector<T> expected = before;
        for (std::int64_t i = 0; i < rows * columns * lanes; ++i) {
          const std::int64_t y = i / (columns * lanes), x = i / lanes % columns, l = i % lanes;
          expected[static_cast<std::size_t>((y + 1) * out_row + (x + 1) * lanes + l)] =
              in[static_cast<std::size_t>(y * stride * in_row + x * stride * lanes + l)];
        }
        CHECK(std::memcmp(out.data(), expected.data(), out.size() * sizeof(T)) == 0);
      }
    });
  });
}

TEST_CASE("every copy moves transposed, reversed and broadcast views exactly") {
  for_each_kernel(copy_kernels(), [](const CopyKernel& kernel) {
    for_each_element([&](auto type, DType dtype) {
      using T = decltype(type);
      for (int seed = 0; seed < 100; ++seed) {
        CAPTURE(seed);
        Rng rng(static_cast<std::uint64_t>(seed));
        const std::vector<std::int64_t> dims{rng.integer(1, 4), rng.integer(1, 20), rng.integer(1, 60)};
        Embedded<T> in(dims, dtype, rng, seed % 3), out(dims, dtype, rng, seed % 2 * 2);
        in.assign(random_elements<T>(in.count(), rng));
        TensorView view = in.view();
        if (rng.chance(0.3)) view.strides[rng.integer(0, 2)] = 0;
        if (rng.chance(0.3)) {
          const std::int64_t d = rng.integer(0, 2);
          view.data = static_cast<T*>(view.data) + (view.dims[d] - 1) * view.strides[d];
          view.strides[d] = -view.strides[d];
        }
        if (rng.chance(0.5) && dims[1] <= dims[2]) {  // any walk within the buffer is a valid view
          view.strides[1] = in.view().strides[2], view.strides[2] = 0;
          view.data = in.view().data;
          view.strides[0] = in.view().strides[0];
        }
        CopyArgs args{{out.count(), sizeof(T)}, view, out.view()};
        CHECK(takes(kernel, args.shape));
        CHECK(run_chunks(*kernel.code, args, Order::backward));
        int wrong = 0;
        for (std::int64_t i = 0; i < out.count(); ++i) wrong += out.at(i) != element<T>(view, i);
        CHECK(wrong == 0);
        CHECK(out.surroundings_hold());
      }
    });
    CHECK_FALSE(takes(kernel, CopyShape{1, 3}));
  });
}

TEST_CASE("a copy of several chunks transposes") {
  for_each_kernel(copy_kernels(), [](const CopyKernel& kernel) {
    std::vector<std::uint32_t> in(300 * 400), out(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<std::uint32_t>(i);
    const CopyArgs args{
        {300 * 400, 4}, {in.data(), DType::uint32, 2, {400, 300}, {1, 400}, 1}, {out.data(), DType::uint32, 2, {400, 300}, {300, 1}, 1}};
    CHECK(kernel.code->chunks(args.shape) > 1);
    CHECK(run_chunks(*kernel.code, args));
    int wrong = 0;
    for (std::size_t i = 0; i < out.size(); ++i) wrong += out[i] != i % 300 * 400 + i / 300;
    CHECK(wrong == 0);
  });
}

TEST_CASE("every fill writes the view and nothing else") {
  for_each_kernel(fill_kernels(), [](const FillKernel& kernel) {
    for_each_element([&](auto type, DType dtype) {
      using T = decltype(type);
      for (int seed = 0; seed < 30; ++seed) {
        Rng rng(static_cast<std::uint64_t>(seed));
        Embedded<T> out({rng.integer(1, 5), rng.integer(1, 9), rng.integer(1, 50)}, dtype, rng, seed % 3);
        const FillArgs args{{out.count(), sizeof(T)}, out.view(), 0x8877665544332211u};
        CHECK(takes(kernel, args.shape));
        CHECK(run_chunks(*kernel.code, args));
        CHECK(out.values() == std::vector<T>(static_cast<std::size_t>(out.count()), static_cast<T>(args.value)));
        CHECK(out.surroundings_hold());
      }
    });
  });
}

/// An image in some layout within a larger buffer.
template <class T>
struct Image {
  Embedded<T> storage;
  TensorView view;

  /// `halo`: pixels all around.
  Image(const ReorderShape& s, int block, std::int64_t halo, DType dtype, Rng& rng)
      : storage({s.batch, ceil_div(s.channels, block), s.height + 2 * halo, s.width + 2 * halo, block}, dtype, rng, 0),
        view(storage.view()) {
    view.data = static_cast<T*>(view.data) + halo * (view.strides[2] + view.strides[3]);
    view.rank = 4;
    view.block = block;
    view.dims[1] = s.channels, view.dims[2] = s.height, view.dims[3] = s.width;
  }
  T& at(std::int64_t n, std::int64_t c, std::int64_t y, std::int64_t x) const {
    return static_cast<T*>(
        view.data)[n * view.strides[0] + c / view.block * view.strides[1] + y * view.strides[2] + x * view.strides[3] + c % view.block];
  }
};

TEST_CASE("every reorder keeps the pixels and fills the pad lanes, every halo fills the ring") {
  for_each_element([](auto type, DType dtype) {
    using T = decltype(type);
    const T fill = 5, untouched = 77;
    for (int seed = 0; seed < 150; ++seed) {
      CAPTURE(seed);
      Rng rng(static_cast<std::uint64_t>(seed));
      ReorderShape s{rng.integer(1, 3), rng.integer(1, 40), rng.integer(1, 9), rng.integer(1, 40), 1, 1, sizeof(T)};
      s.in_block = static_cast<int>(rng.pick({1, 1, 4, 8, 16})), s.out_block = static_cast<int>(rng.pick({1, 4, 8, 16}));
      const std::int64_t in_halo = s.in_block == 1 ? seed / 2 % 2 * 2 : 2, halo = s.out_block == 1 ? seed % 2 * 2 : 2;
      Image<T> in(s, s.in_block, in_halo, dtype, rng);
      in.storage.assign(random_elements<T>(in.storage.count(), rng));
      const auto count_wrong = [&](const Image<T>& out, T ring, const Halo& filled) {
        int wrong = 0;
        for (std::int64_t n = 0; n < s.batch; ++n) {
          for (std::int64_t c = 0; c < round_up(s.channels, s.out_block); ++c) {
            for (std::int64_t y = -halo; y < s.height + halo; ++y) {
              for (std::int64_t x = -halo; x < s.width + halo; ++x) {
                const bool inside = y >= 0 && y < s.height && x >= 0 && x < s.width;
                const bool in_ring =
                    !inside && y >= -filled.top && y < s.height + filled.bottom && x >= -filled.left && x < s.width + filled.right;
                wrong += out.at(n, c, y, x) != (inside ? (c < s.channels ? in.at(n, c, y, x) : fill) : (in_ring ? ring : untouched));
              }
            }
          }
        }
        return wrong;
      };
      int reordered = 0;
      for_each_kernel(reorder_kernels(), [&](const ReorderKernel& kernel) {
        Rng place(static_cast<std::uint64_t>(seed));
        Image<T> out(s, s.out_block, halo, dtype, place);
        if (!takes(kernel, s)) return;
        ++reordered;
        CHECK(run_chunks(*kernel.code, ReorderArgs{s, in.view, out.view, fill}, Order::backward));
        CHECK(count_wrong(out, untouched, {}) == 0);
        if (halo < 2) return;
        for_each_kernel(halo_kernels(), [&](const HaloKernel& ring) {
          CHECK(takes(ring, s));
          for (const Halo& filled : {Halo{1, 2, 2, 1}, Halo{2, 2, 2, 2}}) {  // some of what is there, then all of it: rows without gaps
            CHECK(run_chunks(*ring.code, HaloArgs{s, out.view, filled.top, filled.left, filled.bottom, filled.right, 9}));
            CHECK(count_wrong(out, 9, filled) == 0);
          }
        });
      });
      CHECK((reordered > 0 || !can_run_tests()));
    }
  });
}

TEST_CASE("every gather picks the right pieces") {
  for_each_kernel(gather_kernels(), [](const GatherKernel& kernel) {
    for (int seed = 0; seed < 60; ++seed) {
      CAPTURE(seed);
      Rng rng(static_cast<std::uint64_t>(seed));
      const GatherShape s{rng.integer(1, 6), rng.integer(1, 30), rng.integer(1, 50), rng.integer(1, 40), 4};
      std::vector<std::uint32_t> data = random_elements<std::uint32_t>(s.outer * s.axis_size * s.inner, rng),
                                 out(static_cast<std::size_t>(s.outer * s.indices * s.inner));
      std::vector<std::int64_t> wide;
      std::vector<std::int32_t> narrow;
      for (std::int64_t i = 0; i < s.indices; ++i) {
        wide.push_back(rng.integer(-s.axis_size - 2, s.axis_size + 1));
        narrow.push_back(static_cast<std::int32_t>(wide.back()));
      }
      GatherArgs args{s, {data.data(), DType::uint32}, {wide.data(), DType::int64}, {out.data(), DType::uint32}};
      if (seed % 2) args.indices = {narrow.data(), DType::int32};
      CHECK(takes(kernel, s));
      CHECK(run_chunks(*kernel.code, args));
      int wrong = 0;
      for (std::int64_t o = 0; o < s.outer; ++o) {
        for (std::int64_t i = 0; i < s.indices; ++i) {
          const std::int64_t index = wide[static_cast<std::size_t>(i)];
          const std::int64_t from = std::clamp<std::int64_t>(index < 0 ? index + s.axis_size : index, 0, s.axis_size - 1);
          for (std::int64_t j = 0; j < s.inner; ++j) {
            wrong += out[static_cast<std::size_t>((o * s.indices + i) * s.inner + j)] !=
                     data[static_cast<std::size_t>((o * s.axis_size + from) * s.inner + j)];
          }
        }
      }
      CHECK(wrong == 0);
    }
  });
}

}  // namespace
}  // namespace konv::test
