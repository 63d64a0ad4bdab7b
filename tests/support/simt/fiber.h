// A stack of its own for a piece of code that can be left and entered again. No thread of the operating system, no system call per switch.
#pragma once

#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace konv::simt {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// The next resume() begins entry(argument) on an empty stack. `entry` must end with leave() and never return or throw.
  void start(void (*entry)(void*), void* argument);
  /// Runs the fiber until it leaves.
  void resume();
  /// Called inside the fiber: back to whoever resumed it.
  void leave();

 private:
  static void trampoline(Fiber* fiber);
  void forget_frames();  ///< of calls that never returned, which AddressSanitizer would hold against whoever uses the memory next

  void* memory_ = nullptr;  // with a page in front that traps an overflow
  std::size_t size_ = 0;
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
#if defined(__x86_64__)
  void *inside_ = nullptr, *outside_ = nullptr;  // stack pointers
#else
  static void start_context(unsigned high, unsigned low);
  ucontext_t inside_, outside_;
#endif
  // What the sanitizers want to know about a switch of stacks.
  void *fake_inside_ = nullptr, *fake_outside_ = nullptr;
  const void* outside_stack_ = nullptr;
  std::size_t outside_size_ = 0;
  void *tsan_inside_ = nullptr, *tsan_outside_ = nullptr;
};

}  // namespace konv::simt
