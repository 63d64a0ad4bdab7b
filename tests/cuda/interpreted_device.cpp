#include "tests/cuda/interpreted_device.h"

#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <variant>
#include <vector>

#include "kernels/cuda/calls.h"
#include "tests/support/simt/kernels/run.h"

namespace konv::test {
namespace {

struct Move {
  void* to;
  const void* from;
  std::size_t bytes;
};
using Work = std::variant<cuda::Call, Move>;

struct Stream {
  bool capturing = false;
  std::vector<Work> captured;
};
struct Graph {
  std::vector<Work> works;
};
struct Product {
  void* stream;
  cuda::MatrixProduct product;
};

std::string error;
std::map<void*, std::size_t> memory;
simt::Order thread_order = simt::Order::forward;
DeviceLog log_;
bool fail_allocation = false, no_cublas = false;

int failed(const std::string& why) {
  error = why;
  return 1;
}

int allocate_bytes(std::size_t bytes, void** out) {
  if (fail_allocation) {
    fail_allocation = false;
    return failed("out of memory");
  }
  *out = ::operator new (bytes ? bytes : 1, std::align_val_t{256});
  std::memset(*out, 0xff, bytes);
  ++log_.allocations;
  ++log_.live_allocations;
  return 0;
}

void free_bytes(void* p) {
  --log_.live_allocations;
  ::operator delete (p, std::align_val_t{256});
}

int execute(const Work& work) {
  if (const auto* move = std::get_if<Move>(&work)) {
    std::memcpy(move->to, move->from, move->bytes);
    return 0;
  }
  const auto& call = std::get<cuda::Call>(work);
  if (const auto* product = std::get_if<cuda::MatrixProduct>(&call)) {
    ++log_.products;
    simt::run(*product);
    return 0;
  }
  ++log_.launches;
  simt::Options options{.order = thread_order, .seed = 3, .count = false, .buffers = {}};
  for (const auto& [begin, bytes] : memory) options.buffers.push_back({begin, bytes, true, "device memory"});
  try {
    simt::run(std::get<cuda::Launch>(call), options);
  } catch (const simt::Failure& failure) {
    return failed(failure.what());
  }
  return 0;
}

int issue(void* stream, Work work) {
  auto* s = static_cast<Stream*>(stream);
  if (!s->capturing) return execute(work);
  s->captured.push_back(std::move(work));
  return 0;
}

const konv_cuda_table kTable = {
    .version = KONV_CUDA_TABLE_VERSION,
    .bytes = sizeof(konv_cuda_table),
    .build_id = "interpreter",
    .kernel_count = 0,
    .last_error = [] { return error.c_str(); },
    .device_count =
        [](std::int32_t* count) {
          *count = 1;
          return 0;
        },
    .describe = [](std::int32_t, konv_cuda_device*) { return failed("the interpreter is no device"); },
    .allocate =
        [](std::int32_t, std::size_t bytes, void** out) {
          if (allocate_bytes(bytes, out)) return 1;
          memory[*out] = bytes;
          return 0;
        },
    .release =
        [](std::int32_t, void* p) {
          memory.erase(p);
          free_bytes(p);
          return 0;
        },
    .allocate_pinned = [](std::size_t bytes, void** out) { return allocate_bytes(bytes, out); },
    .release_pinned =
        [](void* p) {
          free_bytes(p);
          return 0;
        },
    .stream_create =
        [](std::int32_t, void** out) {
          *out = new Stream;
          return 0;
        },
    .stream_destroy =
        [](void* stream) {
          delete static_cast<Stream*>(stream);
          return 0;
        },
    .synchronize = [](void* stream) { return static_cast<Stream*>(stream)->capturing ? failed("synchronized while capturing") : 0; },
    .copy_to_device =
        [](void* stream, void* to, const void* from, std::size_t bytes) {
          log_.copies_outside_graphs += !static_cast<Stream*>(stream)->capturing;
          log_.bytes_sent += static_cast<std::int64_t>(bytes);
          return issue(stream, Move{to, from, bytes});
        },
    .copy_to_host =
        [](void* stream, void* to, const void* from, std::size_t bytes) {
          if (!static_cast<Stream*>(stream)->capturing) log_.last_copied_from = from;
          log_.copies_outside_graphs += !static_cast<Stream*>(stream)->capturing;
          return issue(stream, Move{to, from, bytes});
        },
    .launch =
        [](void* stream, const konv_cuda_launch* call) {
          cuda::Launch l;
          l.kernel = static_cast<cuda::KernelId>(call->kernel);
          std::copy(call->grid, call->grid + 3, l.grid);
          l.threads = call->threads;
          l.shared_bytes = call->shared_bytes;
          l.params.assign(static_cast<const std::byte*>(call->params), static_cast<const std::byte*>(call->params) + call->params_bytes);
          return issue(stream, cuda::Call(std::move(l)));
        },
    .product_open = [] { return no_cublas ? failed("cuBLASLt cannot be loaded: libcublasLt.so: cannot open shared object file") : 0; },
    .product_create =
        [](void* stream, const konv_cuda_product* p, void** made) {
          if (static_cast<Stream*>(stream)->capturing) return failed("a product made while capturing");
          *made = new Product{stream,
                              {.precision = static_cast<cuda::Precision>(p->precision),
                               .m = p->m,
                               .n = p->n,
                               .k = p->k,
                               .a = p->a,
                               .b = p->b,
                               .bias = p->bias,
                               .residual = p->residual,
                               .relu = p->relu != 0,
                               .out = p->out}};
          ++log_.live_products;
          return 0;
        },
    .product_run =
        [](void* product) {
          const auto* p = static_cast<Product*>(product);
          return issue(p->stream, cuda::Call(p->product));
        },
    .product_destroy =
        [](void* product) {
          delete static_cast<Product*>(product);
          --log_.live_products;
          return 0;
        },
    .capture_begin =
        [](void* stream) {
          auto* s = static_cast<Stream*>(stream);
          if (s->capturing) return failed("captures already");
          s->capturing = true;
          s->captured.clear();
          return 0;
        },
    .capture_end =
        [](void* stream, void** graph) {
          auto* s = static_cast<Stream*>(stream);
          if (!s->capturing) return failed("captures nothing");
          s->capturing = false;
          *graph = new Graph{std::move(s->captured)};
          return 0;
        },
    .graph_launch =
        [](void* graph, void*) {
          ++log_.graph_launches;
          for (const Work& work : static_cast<Graph*>(graph)->works) {
            if (execute(work)) return 1;
          }
          return 0;
        },
    .graph_destroy =
        [](void* graph) {
          delete static_cast<Graph*>(graph);
          return 0;
        },
    .event_create =
        [](std::int32_t, void** event) {
          *event = new int(0);
          return 0;
        },
    .event_destroy =
        [](void* event) {
          delete static_cast<int*>(event);
          return 0;
        },
    .event_record =
        [](void* event, void*) {
          static int now = 0;
          *static_cast<int*>(event) = ++now;
          return 0;
        },
    .event_milliseconds =
        [](void* begin, void* end, float* milliseconds) {
          *milliseconds = static_cast<float>(*static_cast<int*>(end) - *static_cast<int*>(begin));
          return 0;
        },
};

}  // namespace

run::CudaDevice interpreted_device(simt::Order order) {
  thread_order = order;
  return {&kTable, 0, "cuda:0"};
}

DeviceLog& device_log() { return log_; }

void fail_next_allocation() { fail_allocation = true; }
void lose_cublas(bool lost) { no_cublas = lost; }

}  // namespace konv::test
