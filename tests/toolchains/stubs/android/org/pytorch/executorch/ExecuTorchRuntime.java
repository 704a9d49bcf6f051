// Signatures from pytorch/executorch, extension/android/executorch_android/.../ExecuTorchRuntime.kt.
package org.pytorch.executorch;

public class ExecuTorchRuntime {
    private ExecuTorchRuntime() {}

    public static native ExecuTorchRuntime getRuntime();
}
