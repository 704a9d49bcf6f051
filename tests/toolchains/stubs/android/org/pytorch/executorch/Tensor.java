// Signatures from pytorch/executorch, extension/android/executorch_android/.../Tensor.kt.
package org.pytorch.executorch;

public abstract class Tensor {
    Tensor() {}

    public static native Tensor fromBlob(int[] data, long[] shape);

    public native long[] shape();

    public native float[] getDataAsFloatArray();
}
