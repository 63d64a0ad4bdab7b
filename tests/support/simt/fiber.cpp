#include "tests/support/simt/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

#if defined(__x86_64__)
extern "C" void konv_simt_switch(void** save, void* load);
// Keeps what the System V ABI says a call keeps; the rest the compiler has saved around the call.
asm(R"(
.text
.globl konv_simt_switch
.hidden konv_simt_switch
.type konv_simt_switch,@function
konv_simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size konv_simt_switch, .-konv_simt_switch
.globl konv_simt_begin
.hidden konv_simt_begin
.type konv_simt_begin,@function
konv_simt_begin:
  movq %r12, %rdi
  call *%r13
  ud2
.size konv_simt_begin, .-konv_simt_begin
)");
extern "C" void konv_simt_begin();
#endif

namespace konv::simt {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kStack = 256 << 10;
#else
constexpr std::size_t kStack = 64 << 10;
#endif

}  // namespace

Fiber::Fiber() {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  size_ = kStack + page;
  memory_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory_ == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory_, page, PROT_NONE);
#if defined(__SANITIZE_THREAD__)
  tsan_inside_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
#if defined(__SANITIZE_THREAD__)
  __tsan_destroy_fiber(tsan_inside_);
#endif
  forget_frames();  // whatever is mapped here next starts afresh
  munmap(memory_, size_);
}

void Fiber::forget_frames() {
#if defined(__SANITIZE_ADDRESS__)
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  __asan_unpoison_memory_region(static_cast<std::byte*>(memory_) + page, size_ - page);
#endif
}

void Fiber::trampoline(Fiber* fiber) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &fiber->outside_stack_, &fiber->outside_size_);
#endif
  fiber->entry_(fiber->argument_);
}

#if !defined(__x86_64__)
void Fiber::start_context(unsigned high, unsigned low) {
  trampoline(reinterpret_cast<Fiber*>(static_cast<std::uintptr_t>(high) << 32 | low));
}
#endif

void Fiber::start(void (*entry)(void*), void* argument) {
  entry_ = entry;
  argument_ = argument;
  fake_inside_ = nullptr;
  forget_frames();
#if defined(__x86_64__)
  auto* top = reinterpret_cast<void**>(static_cast<std::byte*>(memory_) + size_);
  *--top = nullptr;  // aligned as a call expects it
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(&konv_simt_begin);
  *--top = nullptr;                               // rbp
  *--top = nullptr;                               // rbx
  *--top = this;                                  // r12: the argument
  *--top = reinterpret_cast<void*>(&trampoline);  // r13: what to call
  *--top = nullptr;                               // r14
  *--top = nullptr;                               // r15
  inside_ = top;
#else
  getcontext(&inside_);
  inside_.uc_stack = {};
  inside_.uc_stack.ss_sp = memory_;
  inside_.uc_stack.ss_size = size_;
  inside_.uc_link = nullptr;
  const auto self = reinterpret_cast<std::uintptr_t>(this);
  makecontext(&inside_, reinterpret_cast<void (*)()>(&start_context), 2, static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
#endif
}

void Fiber::resume() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&fake_outside_, memory_, size_);
#endif
#if defined(__SANITIZE_THREAD__)
  tsan_outside_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(tsan_inside_, 0);
#endif
#if defined(__x86_64__)
  konv_simt_switch(&outside_, inside_);
#else
  swapcontext(&outside_, &inside_);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_outside_, nullptr, nullptr);
#endif
}

void Fiber::leave() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&fake_inside_, outside_stack_, outside_size_);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(tsan_outside_, 0);
#endif
#if defined(__x86_64__)
  konv_simt_switch(&inside_, outside_);
#else
  swapcontext(&inside_, &outside_);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_inside_, &outside_stack_, &outside_size_);
#endif
}

}  // namespace konv::simt
