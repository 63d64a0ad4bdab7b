#include "kernels/base/isa.h"

#include <cstdlib>

#include "tests/kernels/harness.h"

namespace konv::test {
namespace {

/// Sets KONV_FORCE_ISA for a scope.
class ForcedIsa {
 public:
  explicit ForcedIsa(const char* value) {
    if (const char* old = std::getenv("KONV_FORCE_ISA")) old_ = old, had_ = true;
    if (value) {
      setenv("KONV_FORCE_ISA", value, 1);
    } else {
      unsetenv("KONV_FORCE_ISA");
    }
  }
  ForcedIsa(const ForcedIsa&) = delete;
  ForcedIsa& operator=(const ForcedIsa&) = delete;
  ~ForcedIsa() {
    if (had_) {
      setenv("KONV_FORCE_ISA", old_.c_str(), 1);
    } else {
      unsetenv("KONV_FORCE_ISA");
    }
  }

 private:
  std::string old_;
  bool had_ = false;
};

TEST_CASE("KONV_FORCE_ISA lowers the choice and is never ignored") {
  {
    const ForcedIsa none(nullptr);
    CHECK(choose_isa().isa == detected_isa());
    CHECK(choose_isa().error == nullptr);
  }
  {
    const ForcedIsa portable("portable");
    CHECK(choose_isa().isa == Isa::portable);
    CHECK(choose_isa().error == nullptr);
  }
  for (const char* unknown : {"sse9", "AVX2", "avx5", " "}) {
    const ForcedIsa wrong(unknown);
    CHECK(choose_isa().error != nullptr);
  }
  for (const Isa isa : {Isa::avx2, Isa::avx512, Isa::avx512_vnni, Isa::avx512_bf16, Isa::avx512_amx}) {
    const ForcedIsa forced(name(isa));
    CHECK((choose_isa().error != nullptr) == (isa > detected_isa()));
  }
}

TEST_CASE("instruction sets have names") {
  for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512, Isa::avx512_vnni, Isa::avx512_bf16, Isa::avx512_amx})
    CHECK(isa_from_name(name(isa)) == isa);
  CHECK_FALSE(isa_from_name("mmx"));
}

}  // namespace
}  // namespace konv::test
