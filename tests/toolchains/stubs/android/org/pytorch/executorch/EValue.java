// Signatures from pytorch/executorch, extension/android/executorch_android/.../EValue.java.
package org.pytorch.executorch;

public class EValue {
    private EValue() {}

    public static native EValue from(Tensor tensor);

    public native Tensor toTensor();
}
