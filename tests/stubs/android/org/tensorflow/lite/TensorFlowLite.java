// Signatures from google-ai-edge/LiteRT, litert/kotlin/src/copied_from_tflite/java/org/tensorflow/lite/TensorFlowLite.java.
package org.tensorflow.lite;

public final class TensorFlowLite {
    private TensorFlowLite() {}

    public static native void init();
}
