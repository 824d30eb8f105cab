/* Functions with arguments of many kinds, source lines, static probes with operands of many forms. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct point { int x; long y; const char *name; struct { short a, b; } in; };
struct pair { int first; int second; long third; };
enum color { RED, GREEN = 5 };
typedef long distance_t;

struct point the_point = { 7, 70, "a point", { 3, -4 } };
uint64_t table[4] = { 11, 22, 33, 44 };

__attribute__((noinline)) int traced_add(int a, long b, const char *s)
{
    __asm__ volatile("");
    return a + (int)b - (s ? 100 : 0); /* line: sum */
}

__attribute__((noinline)) distance_t traced_point(struct point *p, enum color c, char ch, unsigned char u)
{
    __asm__ volatile("");
    return p->y + c + ch + u;
}

__attribute__((noinline)) long traced_many(int a, int b, int c, int d, int e, int f, short g, long h)
{
    __asm__ volatile("");
    return a + b + c + d + e + f + g + h;
}

__attribute__((noinline)) long traced_pair(struct pair p, double d, int after)
{
    __asm__ volatile("");
    return p.first + p.second + p.third + (long)d + after;
}

__attribute__((noinline)) void traced_inner(void) { __asm__ volatile(""); }
__attribute__((noinline)) void traced_outer(void) { traced_inner(); __asm__ volatile(""); }

#define NOTE(name, args) \
    "990: nop\n.pushsection .note.stapsdt,\"\",\"note\"\n.balign 4\n.4byte 992f-991f,994f-993f,3\n" \
    "991: .asciz \"stapsdt\"\n992: .balign 4\n993: .8byte 990b\n.8byte _.stapsdt.base\n.8byte 0\n" \
    ".asciz \"traced\"\n.asciz \"" name "\"\n.asciz \"" args "\"\n994: .balign 4\n.popsection\n" \
    ".ifndef _.stapsdt.base\n.pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n" \
    ".weak _.stapsdt.base\n.hidden _.stapsdt.base\n_.stapsdt.base: .space 1\n.popsection\n.endif\n"

__attribute__((noinline)) void static_probes(int i, long l, const char *s)
{
    signed char c = -3;
    unsigned short us = 65000;
    volatile long array[4] = { 1, 2, 3, 4 };
    __asm__ volatile(NOTE("forms", "-4@$-9 8@%0 -1@%b1 2@%w2 8@%3 -8@8(%4) 8@(%4,%5,8) 8@table+8(%%rip) -4@%k0 1@%b1")
                     :: "r"(l), "q"(c), "r"(us), "r"(s), "r"(array), "r"(2L), "m"(array));
    __asm__ volatile(NOTE("twice", "-4@%k0") :: "r"(i));
    __asm__ volatile(NOTE("twice", "-4@%0") :: "m"(i));
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 1;
    struct pair q = { 1, -2, 3 };
    puts("ready=1");
    fflush(stdout);
    for (int i = 0; i < rounds; i++) {
        traced_add(1, 2, "hello");
        traced_point(&the_point, GREEN, 'c', 200);
        traced_many(1, 2, 3, 4, 5, 6, -7, 8);
        traced_pair(q, 2.5, 9);
        traced_outer();
        static_probes(i, -5, "from a note");
        if (argc > 2)
            usleep(atoi(argv[2]));
    }
    return 3;
}
