/* Lives for a moment, forks, and makes a system call from known functions. */
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static long call_parent(void)
{
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "0"((long)SYS_getppid) : "rcx", "r11", "memory");
    return result;
}

__attribute__((noinline)) void deep_inner(void) { call_parent(); __asm__ volatile(""); }
__attribute__((noinline)) void deep_outer(void) { deep_inner(); __asm__ volatile(""); }

int main(void)
{
    int status;
    deep_outer();
    if (fork() == 0) {
        deep_outer();
        _exit(0);
    }
    wait(&status);
    return 0;
}
