#include "engine/compress/pack.h"

#include <konv/error.hpp>

namespace konv::compress {

DType signed_type(int bits) {
  switch (bits) {
    case 2: return DType::int2;
    case 4: return DType::int4;
    case 8: return DType::int8;
    case 16: return DType::int16;
    default: throw Error("weights of " + std::to_string(bits) + " bits; expected 2, 4, 8 or 16");
  }
}

}  // namespace konv::compress
