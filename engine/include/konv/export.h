/* Marks what libkonv's shared library exports; everything else is hidden. */
#ifndef KONV_EXPORT_H
#define KONV_EXPORT_H

#if defined(KONV_STATIC) || !defined(__GNUC__)
#define KONV_API
#else
#define KONV_API __attribute__((visibility("default")))
#endif

#endif
