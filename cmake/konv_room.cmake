# konv_room(NAME FOLDER [ONCE] [EXCLUDE regex] [LINK target...]): the sources of one room (every .cpp below FOLDER) as an object library konv_room_NAME, which sees
# includes from the project's root and the public headers. libkonv and the tests are put together from rooms.
# ONCE: what runs once per model or per command is compiled in a release with -O1 and several sources at a time, since most of a compilation here is what the
# formatting and JSON libraries are made of. So names in unnamed namespaces are unique within a room.
function(konv_room name folder)
  cmake_parse_arguments(PARSE_ARGV 2 arg "ONCE" "EXCLUDE" "LINK")
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*.cpp)
  if(arg_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX ${arg_EXCLUDE})
  endif()
  add_library(konv_room_${name} OBJECT ${sources})
  target_include_directories(konv_room_${name} PUBLIC ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/engine/include)
  target_link_libraries(konv_room_${name} PUBLIC konv::warnings ${arg_LINK})
  if(arg_ONCE)
    target_compile_options(konv_room_${name} PRIVATE $<$<CONFIG:Release>:-O1>)
    if(CMAKE_BUILD_TYPE STREQUAL "Release")
      set_target_properties(konv_room_${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
    endif()
  endif()
endfunction()
