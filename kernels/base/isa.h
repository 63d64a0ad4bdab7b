// Instruction sets that kernels are compiled for, and which of them this machine runs.
#pragma once

#include <optional>
#include <string_view>

namespace konv {

/// Ordered: a machine that has one has all before it.
enum class Isa { portable, avx2, avx512, avx512_vnni, avx512_bf16, avx512_amx };

/// All of them, for messages.
inline constexpr const char* kIsaNames = "portable, avx2, avx512, avx512_vnni, avx512_bf16 or avx512_amx";

const char* name(Isa isa);
std::optional<Isa> isa_from_name(std::string_view name);

/// float32 lanes of one vector register.
int lanes(Isa isa);

/// The best instruction set of this CPU, whatever KONV_FORCE_ISA says. Where it has tile registers (avx512_amx: of 8-bit integers and bfloat16), the first call
/// asks the operating system for leave to use them, for the whole process.
Isa detected_isa();

struct IsaChoice {
  Isa isa = Isa::portable;
  const char* error = nullptr;  ///< why KONV_FORCE_ISA cannot be followed; null when all is well
};

/// detected_isa(), lowered by KONV_FORCE_ISA, one of kIsaNames.
/// An unknown name, or one this CPU lacks, is reported in `error`, never ignored.
IsaChoice choose_isa();

}  // namespace konv
