// What the app may call of ExecuTorch for Android: signatures from pytorch/executorch,
// extension/android/executorch_android/src/main/java/org/pytorch/executorch/Module.kt.
package org.pytorch.executorch;

public class Module {
    public static final int LOAD_MODE_FILE = 0;
    public static final int LOAD_MODE_MMAP = 1;

    private Module() {}

    public static native Module load(String modelPath, int loadMode, int numThreads);

    public native EValue[] execute(String methodName, EValue... inputs);

    public native String[] getMethods();

    public native void destroy();
}
