// What the app may call of LiteRT's interpreter for Android: signatures from google-ai-edge/LiteRT,
// litert/kotlin/src/copied_from_tflite/java/org/tensorflow/lite/{Interpreter,InterpreterApi}.java.
package org.tensorflow.lite;

import java.io.File;
import java.util.Map;

public final class Interpreter implements AutoCloseable {
    public Interpreter(File modelFile, Options options) {}

    public native void runSignature(Map<String, Object> inputs, Map<String, Object> outputs, String signatureKey);

    public native String[] getSignatureKeys();

    @Override
    public native void close();

    public static class Options {
        public native Options setNumThreads(int numThreads);

        public native Options setUseXNNPACK(boolean useXNNPACK);
    }
}
