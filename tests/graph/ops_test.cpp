#include <set>

#include <doctest/doctest.h>

#include "engine/graph/fields.h"
#include "tests/graph/build.h"

using namespace konv;
using namespace konv::test;

TEST_CASE("operators have a name in files and one for people") {
  CHECK(std::string(op_name(Conv{})) == "Conv");
  CHECK(std::string(op_name(Unary{})) == "Unary");
  CHECK(std::string(op_name(Expand{})) == "Expand");
  CHECK(display_name(Conv{}) == "Conv");
  CHECK(display_name(Unary{{ActivationKind::relu}}) == "Relu");
  CHECK(display_name(Unary{{ActivationKind::clip}}) == "Clip");
  CHECK(display_name(Unary{}) == "Identity");
  CHECK(display_name(Binary{}) == "Add");
  CHECK(display_name(Binary{BinaryKind::div, {}}) == "Div");
  CHECK(display_name(Pool{}) == "MaxPool");
  CHECK(display_name(Pool{.kind = PoolKind::average}) == "AveragePool");
  CHECK(display_name(Reduce{}) == "ReduceMean");
  CHECK(display_name(ShapeOf{}) == "Shape");
  CHECK(display_name(BatchNorm{}) == "BatchNormalization");
}

TEST_CASE("enums are spelled in the order of their values") {
  CHECK(std::string(enum_names(AutoPad{})[static_cast<std::size_t>(AutoPad::same_lower)]) == "same_lower");
  CHECK(std::string(enum_names(AutoPad{})[0]) == "explicit");
  CHECK(std::string(enum_names(ActivationKind{})[static_cast<std::size_t>(ActivationKind::silu)]) == "silu");
  CHECK(std::string(enum_names(PadMode{})[static_cast<std::size_t>(PadMode::edge)]) == "edge");
  CHECK(std::string(enum_names(PoolKind{})[1]) == "average");
  CHECK(std::string(enum_names(ReduceKind{})[3]) == "min");
  CHECK(std::string(enum_names(BinaryKind{})[2]) == "mul");
  CHECK(enum_names(DType{}).size() == kDTypeCount);
  CHECK(std::string(enum_names(DType{}).back()) == "bool");
}

TEST_CASE("describe lists every field once, and lets them be changed") {
  ConvTranspose op;
  std::set<std::string> seen;
  describe(op, [&](const char* name, auto& field) {
    CHECK(seen.insert(name).second);
    if constexpr (std::is_same_v<std::remove_reference_t<decltype(field)>, std::int64_t>) field = 7;
  });
  CHECK(seen.size() == 10);
  CHECK(op.groups == 7);
  const Conv conv;
  int fields = 0;
  describe(conv, [&](const char*, const auto&) { ++fields; });
  CHECK(fields == 8);
}
